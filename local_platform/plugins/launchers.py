"""The executables by which Pulumi's engine starts the stand-ins."""

import shlex
from pathlib import Path

STAND_INS = ("docker", "kubernetes")
"""The providers that have one: each a package beside this module, run with `python -m`."""


def install(folder: Path, python: Path) -> None:
    """Writes `pulumi-resource-<provider>` for every stand-in.

    The engine takes plugins from PATH and says so; put the folder there.

    Args:
        folder: Where the executables go; made if it does not exist.
        python: The interpreter of an environment that has this package's dependencies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # The engine starts plugins in the program's folder, where no checkout is on the path.
    root = Path(__file__).parents[2]
    for provider in STAND_INS:
        script = folder / f"pulumi-resource-{provider}"
        new = script.with_suffix(".new")
        new.write_text(
            "#!/bin/sh\n"
            f"PYTHONPATH={shlex.quote(str(root))} exec {shlex.quote(str(python))} -P -m "
            f'local_platform.plugins.{provider} "$@"\n'
        )
        new.chmod(0o755)
        new.replace(script)


def remove(folder: Path) -> None:
    """Removes what `install` wrote, so that the engine takes the real plugins."""
    for provider in STAND_INS:
        (folder / f"pulumi-resource-{provider}").unlink(missing_ok=True)
