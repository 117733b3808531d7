#!/opt/ft-serving/bin/python
"""Becomes a program (Triton) if the machine has the GPUs that the engine needs, else ends.

    check_gpus.py PROGRAM ARGUMENT...

Triton would report missing GPUs, too, but in the middle of its log: diagnosis shows the last line.
"""

import os
import sys

from ft_serving.core.errors import FtServingError
from ft_serving.server.vllm.gpu import require_gpus
from ft_serving.server.vllm.settings import EngineSettings

if __name__ == "__main__":
    try:
        require_gpus(EngineSettings.from_environment(os.environ).tensor_parallel)
    except FtServingError as exc:
        sys.exit(f"error: {exc}")
    # The arguments are the image's and the stack's own.
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606
