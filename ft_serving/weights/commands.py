"""The commands `ft-serving weights …`, which people and the Job type."""

# A command imports what it needs when it runs: the extra `weights` may not be installed, and
# `--help` should not wait for it.

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ft_serving.core.dtypes import DType
from ft_serving.core.release import ReleaseFormat, ReleaseSpec

if TYPE_CHECKING:
    from ft_serving.core.progress import Progress
    from ft_serving.core.storage import Storage
    from ft_serving.weights.inventory import Entry
    from ft_serving.weights.source import Source

app = typer.Typer(
    no_args_is_help=True,
    help="Turn published checkpoints into releases that a server can serve.",
)


def add_commands(program: typer.Typer) -> None:
    """Add this room's commands to the command line."""
    program.add_typer(app, name="weights")


StorageOption = Annotated[
    Path,
    typer.Option("--storage", help="Folder of the volume that holds checkpoints and releases."),
]
_ONE_LAYOUT = "for FasterTransformer's layout only."


@app.command()
def prepare(
    repository: Annotated[
        str, typer.Option(help="Repository on the hub (HF_ENDPOINT, HF_TOKEN), or a local folder.")
    ],
    storage: StorageOption,
    revision: Annotated[
        str | None,
        typer.Option(help="Commit, or a branch that is resolved to its commit; for a hub only."),
    ] = None,
    format_: Annotated[
        ReleaseFormat,
        typer.Option(
            "--format",
            help="Layout of the weights: FasterTransformer's, or Hugging Face's for vLLM.",
        ),
    ] = ReleaseFormat.FASTERTRANSFORMER,
    dtype: Annotated[DType, typer.Option(help="Format of the stored weights.")] = DType.FP16,
    compute_dtype: Annotated[
        DType | None,
        typer.Option(help="Format that the server computes in; the stored one by default."),
    ] = None,
    tensor_parallel: Annotated[
        int, typer.Option(help=f"GPUs that share each layer; {_ONE_LAYOUT}")
    ] = 1,
    pipeline_parallel: Annotated[
        int, typer.Option(help=f"Groups of GPUs that share the layers; {_ONE_LAYOUT}")
    ] = 1,
    streaming: Annotated[
        bool, typer.Option("--streaming", help="Serve a response a token (decoupled).")
    ] = False,
    input_length: Annotated[
        int | None,
        typer.Option(
            min=1, help="Tokens of the longest prompts to serve; the model's context by default."
        ),
    ] = None,
    output_length: Annotated[
        int | None,
        typer.Option(
            min=1, help="Tokens of the longest answers to serve; the model's context by default."
        ),
    ] = None,
    drop_source: Annotated[
        bool, typer.Option("--drop-source", help="Delete the download once the release is valid.")
    ] = False,
) -> None:
    """Download, verify and convert a checkpoint; print the folder of the valid release."""
    from ft_serving.core.progress import Progress
    from ft_serving.core.storage import Storage
    from ft_serving.core.units import format_bytes
    from ft_serving.weights.layouts import LAYOUTS
    from ft_serving.weights.prepare import prepare as run
    from ft_serving.weights.source import HubSource

    if format_ is ReleaseFormat.HUGGINGFACE and (tensor_parallel, pipeline_parallel) != (1, 1):
        raise typer.BadParameter(
            f"--format {format_} makes one release for any number of GPUs: leave "
            "--tensor-parallel and --pipeline-parallel out, and tell the server how many to use"
        )
    volume = Storage(storage)
    volume.create()
    with Progress() as progress:
        companions = LAYOUTS[format_].companions
        source = _open_source(repository, revision, drop_source, volume, progress, companions)
        spec = ReleaseSpec(
            repository=source.repository,
            revision=source.revision,
            format=format_,
            dtype=dtype,
            compute_dtype=compute_dtype or dtype,
            tensor_parallel=tensor_parallel,
            pipeline_parallel=pipeline_parallel,
            streaming=streaming,
            input_length=input_length,
            output_length=output_length,
        )
        prepared = run(source, spec, volume, progress)
        if drop_source and isinstance(source, HubSource):
            source.drop()
        size = format_bytes(prepared.manifest.size)
        progress.say(f"Release {spec.name} ({size}) {prepared.outcome}.")
    typer.echo(prepared.folder)


@app.command()
def verify(
    release: Annotated[
        str, typer.Argument(help="Folder of a release, or with --storage its name.")
    ],
    storage: Annotated[
        Path | None, typer.Option(help="Folder of the volume, where the release is named.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Compare every sha256, not only sizes.")
    ] = False,
) -> None:
    """Compare a release with its manifest; exit with 1 and a list where they differ."""
    from ft_serving.core.progress import Progress
    from ft_serving.core.verify import check_content, check_sizes, refuse_damage
    from ft_serving.weights.config_pbtxt import check_place
    from ft_serving.weights.errors import MisplacedError

    folder = _release_folder(release, storage)
    with Progress() as progress:
        problems = check_content(folder, progress) if full else check_sizes(folder)
    refuse_damage(folder, problems)
    try:
        check_place(folder)
    except MisplacedError as exc:
        raise MisplacedError(f"{folder} is whole, but not for servers here:\n  {exc}") from exc
    typer.echo(f"{folder}: every {'sha256' if full else 'size'} is as the manifest says.")


@app.command(name="list")
def list_(storage: StorageOption) -> None:
    """Show the releases of a storage: size, source, validity, and who uses them; write nothing."""
    from ft_serving.weights.inventory import list_releases

    volume = _existing(storage)
    entries = list_releases(volume)
    table = Table("RELEASE", "SIZE", "SOURCE", "CREATED", "STATE", box=None, pad_edge=False)
    for entry in entries:
        table.add_row(*_row(entry))
    # Scripts read whole names: a pipe has no width at which to cut them.
    console = Console(width=None if sys.stdout.isatty() else 250)
    console.print(table if entries else f"No releases in {storage}.")
    if others := volume.other_names():
        typer.echo(f"Not made by ft-serving, never deleted: {', '.join(others)}.")


@app.command()
def prune(
    storage: StorageOption,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            help="Name or folder of a release to keep, such as a cluster's (stack output "
            "`release`), whose servers hold no lease; may be repeated."
        ),
    ] = None,
    newest: Annotated[
        int | None,
        typer.Option(min=0, help="Keep so many of the newest valid releases, besides those named."),
    ] = None,
) -> None:
    """Delete releases except those named, the newest, and those that a lease says are in use.

    Downloads that nobody has worked on for a day go, too. What ft-serving did not make is kept.
    """
    from ft_serving.weights.inventory import prune as run

    if keep is None and newest is None:
        raise typer.BadParameter("say what to keep: --newest N, --keep NAME, or both")
    for decision in run(_existing(storage), keep or [], newest or 0):
        reason = decision.kept_because
        typer.echo(f"{decision.name}: " + (f"kept, {reason}" if reason else "deleted"))


def _open_source(
    repository: str,
    revision: str | None,
    drop_source: bool,
    storage: "Storage",
    progress: "Progress",
    companions: tuple[str, ...],
) -> "Source":
    from ft_serving.core.files import same_place
    from ft_serving.core.hub.client import Hub
    from ft_serving.weights.folders import checkpoint_folder
    from ft_serving.weights.inventory import list_releases
    from ft_serving.weights.source import HubSource, LocalSource

    folder = Path(repository)
    if folder.is_dir():
        if revision is not None:
            raise typer.BadParameter(f"{folder} is a local folder, which has no revisions")
        if drop_source:
            raise typer.BadParameter(f"--drop-source would delete {folder}, which is no download")
        folder = checkpoint_folder(folder)
        manifests = [entry.manifest for entry in list_releases(storage) if entry.manifest]
        known = [file for m in manifests if same_place(Path(m.origin), folder) for file in m.source]
        return LocalSource(folder, known, progress, companions)
    if folder.is_symlink():
        raise typer.BadParameter(f"{folder} is a link to {folder.readlink()}, which is no folder")
    if revision is None:
        raise typer.BadParameter(
            f"{repository} is no folder here; for a repository on a hub give --revision, a commit "
            "or a branch such as main"
        )
    hub = Hub.from_environment(os.environ, progress.say)
    return HubSource(hub, repository, revision, storage, progress, companions)


def _existing(storage: Path) -> "Storage":
    from ft_serving.core.storage import Storage

    if not storage.is_dir():
        raise typer.BadParameter(f"{storage} is no folder")
    return Storage(storage)


def _release_folder(release: str, storage: Path | None) -> Path:
    from ft_serving.core.errors import ReleaseError

    if storage is not None:
        volume = _existing(storage)
        if name := volume.find(release):
            return volume.release(name)
        raise ReleaseError(
            f"{volume.root}: has no release {release}. `ft-serving weights list` shows those "
            "there are."
        )
    if not Path(release).exists():
        raise ReleaseError(
            f"{release}: there is no such folder. Name the one that `ft-serving weights prepare` "
            "printed, or add --storage to give a release's name."
        )
    return Path(release)


def _row(entry: "Entry") -> tuple[str, ...]:
    from ft_serving.core.units import format_bytes

    state = entry.problems[0] if entry.problems else "valid"
    if entry.users:
        state += f"; in use by {', '.join(entry.users)}"
    if not (manifest := entry.manifest):
        return entry.name, "", "", "", state
    source = f"{manifest.spec.repository}@{manifest.spec.revision[:12]}"
    return entry.name, format_bytes(manifest.size), source, manifest.created, state
