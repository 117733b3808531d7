"""Runs the platform's Docker engine."""

import os
import subprocess

from local_platform import environment


def docker(*arguments: str, stdin: str | None = None) -> str:
    """Run docker as a user who has read the platform's environment; return its answer."""
    path = os.pathsep.join((str(environment.BIN), os.environ["PATH"]))
    done = subprocess.run(
        ["docker", *arguments],
        env={**os.environ, **environment.variables(), "PATH": path, "DOCKER_BUILDKIT": "1"},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"docker {arguments[0]} failed: {done.stderr}"
    return done.stdout


def by_digest(tag: str) -> str:
    """Return the name by digest of an image that was pushed as `tag`."""
    # An engine may know it by other names, too, in the same registry.
    digests = docker("image", "inspect", '--format={{join .RepoDigests " "}}', tag).split()
    (digest,) = (one for one in digests if one.startswith(f"{tag.rpartition(':')[0]}@"))
    return digest
