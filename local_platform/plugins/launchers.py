"""The executables by which Pulumi's engine starts the stand-ins."""

import shlex
from pathlib import Path


def path(folder: Path, provider: str) -> Path:
    """The executable that the engine looks for on PATH."""
    return folder / f"pulumi-resource-{provider}"


def install(folder: Path, provider: str, python: Path) -> None:
    """Writes the executable of a provider's stand-in.

    Args:
        folder: Where it goes; made if it does not exist.
        provider: The provider: a package beside this module, run with `python -m`.
        python: The interpreter of an environment that has this package's dependencies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # The engine starts plugins in the program's folder, where no checkout is on the path.
    root = Path(__file__).parents[2]
    script = path(folder, provider)
    new = script.with_suffix(".new")
    new.write_text(
        "#!/bin/sh\n"
        f"PYTHONPATH={shlex.quote(str(root))} exec {shlex.quote(str(python))} -P -m "
        f'local_platform.plugins.{provider} "$@"\n'
    )
    new.chmod(0o755)
    new.replace(script)


def remove(folder: Path, provider: str) -> None:
    """Removes it, so that the engine takes the real plugin."""
    path(folder, provider).unlink(missing_ok=True)
