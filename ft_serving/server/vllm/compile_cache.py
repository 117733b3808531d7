"""Keeps vLLM's compiled code on a volume that servers share.

torch's inductor and Triton write files aside and rename them. vLLM 0.26 does not always: it writes
its index `vllm_compile_cache.py` in place, and every later start fails on one that was cut off; it
writes compiled graphs under a name with the process's number, which two containers can share. So
one server fills a cache, and others read it only when it is whole.
"""

import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

from ft_serving.server.vllm.settings import CACHE

_COMPLETE = ".complete"
_LOCK = ".lock"

_LEASE_SECONDS = 60.0
"""After so long without a heartbeat a server that filled the cache counts as gone."""

_CACHES = {
    "VLLM_CACHE_ROOT": "vllm",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
}
"""The variables that name the caches of vLLM, torch and Triton, and their folders below the one of
`CACHE`."""

_PREPARED = Path(sys.prefix) / "share" / "compiled"
"""Files of these caches that come with an installation; the image server-vllm has some."""

_logger = logging.getLogger(__name__)


@contextmanager
def compile_cache(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Change `CACHE` in an environment, if it is there, to a folder that is safe while vLLM starts.

    That is the shared folder where it is whole, or where no other server fills it; it is whole once
    the engine has started. Otherwise it is an empty folder of this server's own.
    """
    name = environment.get(CACHE)
    if name is None or (Path(name) / _COMPLETE).exists():
        yield
        return
    # An image for GPUs has it by torch; the backend for CPUs starts without it.
    from filelock import SoftFileLease, Timeout

    folder = Path(name)
    lease = SoftFileLease(folder / _LOCK, lease_duration=_LEASE_SECONDS, is_singleton=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lease.acquire(timeout=0)
        _empty(folder)
    except (OSError, Timeout) as exc:
        reason = "another server fills it" if isinstance(exc, Timeout) else str(exc)
        _logger.warning("the cache %s is not used (%s): this start compiles anew", folder, reason)
        environment[CACHE] = tempfile.mkdtemp(prefix="compile-cache-")
    try:
        yield
        if lease.is_locked:
            (folder / _COMPLETE).touch()
    finally:
        lease.release()


def use_caches(environment: MutableMapping[str, str], prepared: Path = _PREPARED) -> None:
    """Put all caches into the folder that `CACHE` names, if it names one.

    Args:
        environment: Gets the variables of the caches.
        prepared: Its files are copied into the folder, unless they are there.
    """
    name = environment.get(CACHE)
    if name is None:
        return
    folder = Path(name)
    for variable, cache in _CACHES.items():
        environment.setdefault(variable, str(folder / cache))
    try:
        for source in filter(Path.is_file, prepared.rglob("*")):
            target = folder / source.relative_to(prepared)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
    except OSError as exc:
        _logger.warning("the cache %s lacks what comes with the image: %s", folder, exc)


def _empty(folder: Path) -> None:
    """Delete what a server left that was killed while it filled the cache."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()
