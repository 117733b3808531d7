"""Runs `ft-serving` in this process, which spares a test the start of another."""

import io
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest.mock import patch

from ft_serving import cli

Done = subprocess.CompletedProcess[str]


def run_here(*arguments: object, **environment: str) -> Done:
    """Run a command to its end, on lines of 250 characters."""
    argv = ["ft-serving", *map(str, arguments)]
    on_sigterm = signal.getsignal(signal.SIGTERM)
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        redirect_stdout(out),
        redirect_stderr(err),
        patch.object(sys, "argv", argv),
        patch.dict(os.environ, {"COLUMNS": "250", **environment}),
    ):
        try:
            cli.main()
        except SystemExit as exc:
            code = int(exc.code or 0)
        finally:
            signal.signal(signal.SIGTERM, on_sigterm)
    return Done(argv, code, out.getvalue(), err.getvalue())
