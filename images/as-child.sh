#!/bin/sh
# Runs a program as a child, hands signals on to it, and ends with its exit code.
#
#     as-child PROGRAM ARGUMENT...
#
# The kernel drops a signal that a container's first process has no handler for. Triton and Python have
# theirs late, so a pod that is deleted in its first second would go on until its grace period ends. This
# shell has them after a millisecond, and no other process is the first one.
#
# In options that end in `:restricted={unknown}` that becomes a random value, another one at each start:
# Triton opens a restricted API only to clients that send the value as a header. It ends in a line break,
# which no header has.
set -u

child=
stop() {
  stopped=yes
  # Until a program has its own handler, the signal's default ends it: it is not the first process.
  [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
}
stopped=
trap stop TERM INT

value="$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
"
for argument; do
  shift
  case $argument in
    --*:restricted='{unknown}') argument=${argument%'{unknown}'}$value ;;
  esac
  set -- "$@" "$argument"
done

# A shell gives a child in the background no input, unless it is told to.
exec 3<&0
"$@" <&3 3<&- &
child=$!
[ -z "$stopped" ] || kill -TERM "$child"
while :; do
  wait "$child"
  code=$?
  # A signal ends the wait, too: then the child is still there.
  kill -0 "$child" 2>/dev/null || exit "$code"
done
