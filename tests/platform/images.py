"""Builds images with the platform's Docker engine and pushes them to its registry."""

import os
import subprocess
from pathlib import Path

from local_platform import environment, settings

CHECKOUT = Path(__file__).parents[2]


def docker(*arguments: str, stdin: str | None = None) -> str:
    """Run docker as a user who has read the platform's environment; return what it answers."""
    path = os.pathsep.join((str(environment.BIN), os.environ["PATH"]))
    done = subprocess.run(
        ["docker", *arguments],
        env={**os.environ, **environment.variables(), "PATH": path, "DOCKER_BUILDKIT": "1"},
        cwd=CHECKOUT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"docker {arguments[0]} failed: {done.stderr}"
    return done.stdout


def build_and_push(name: str, *options: str, stdin: str | None = None) -> str:
    """Build an image as `test/NAME`, with options of `docker build`.

    Returns:
        Its name by digest.
    """
    tag = f"{settings.REGISTRY}/test/{name}:1"
    docker("build", "--quiet", "--tag", tag, *options, stdin=stdin)
    docker("push", "--quiet", tag)
    return by_digest(tag)


def by_digest(tag: str) -> str:
    """The name by digest of an image that was pushed as `tag`."""
    # An engine may know it by other names, too, in the same registry.
    digests = docker("image", "inspect", '--format={{join .RepoDigests " "}}', tag).split()
    (digest,) = (one for one in digests if one.startswith(f"{tag.rpartition(':')[0]}@"))
    return digest
