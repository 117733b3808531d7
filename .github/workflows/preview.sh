#!/usr/bin/env bash
# Runs `ft-serving preview` with the options given, and publishes its summary: on the run's page, and as the
# step's output `summary`. Ends as the command does.
set -euo pipefail

status=0
summary="$(.venv/bin/ft-serving preview --format markdown "$@")" || status=$?
printf '%s\n' "$summary" >>"$GITHUB_STEP_SUMMARY"
# Random, because what is between two of them comes from the pull request.
delimiter="end-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"
printf 'summary<<%s\n%s\n%s\n' "$delimiter" "$summary" "$delimiter" >>"$GITHUB_OUTPUT"
exit "$status"
