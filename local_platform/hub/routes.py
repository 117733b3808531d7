"""The paths of the hub's protocol that the mirror answers.

They are what huggingface_hub asks for (`hf_api.py`: `model_info`, `list_repo_tree`;
`file_download.py`: `hf_hub_url`). Segments are decoded after they are split, so that an encoded
slash in a revision (`refs%2Fpr%2F1`) or in a tree's path stays inside its segment.
"""

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit

from local_platform.errors import RefusedRequestError
from local_platform.hub.repository import DEFAULT_REVISION


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthRoute:
    """`/healthz`: the server answers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRoute:
    """`/api/models/{repo_id}[/revision/{revision}][?blobs=true]`: what a model is.

    Attributes:
        repo_id: the model's name, with its namespace if it has one.
        revision: the revision asked for.
        blobs: whether sizes and digests of the files are asked for.
    """

    repo_id: str
    revision: str
    blobs: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeRoute:
    """`/api/models/{repo_id}/tree/{revision}[/{path}][?recursive=true]`: what a folder holds.

    Attributes:
        repo_id: the model's name, with its namespace if it has one.
        revision: the revision asked for.
        path: the folder's path in the model, empty for the model itself.
        recursive: whether what lies in its subfolders is asked for too.
    """

    repo_id: str
    revision: str
    path: str
    recursive: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRoute:
    """`/{repo_id}/resolve/{revision}/{path}`: the bytes of a file.

    Attributes:
        repo_id: the model's name, with its namespace if it has one.
        revision: the revision asked for.
        path: the file's path in the model.
    """

    repo_id: str
    revision: str
    path: str


Route = HealthRoute | ModelRoute | TreeRoute | FileRoute


def parse_target(target: str) -> Route:
    """Read a request target.

    Args:
        target: what stands between method and version in the request line.

    Raises:
        RefusedRequestError: it is not a URL, its escapes are not UTF-8, or the mirror serves
            nothing of the kind.
    """
    try:
        url = urlsplit(target)
        segments = [unquote(segment, errors="strict") for segment in url.path.split("/")[1:]]
    except ValueError as exc:
        raise RefusedRequestError(
            HTTPStatus.BAD_REQUEST, f"not a request target: '{target}'"
        ) from exc
    query = parse_qs(url.query)
    match segments:
        case ["healthz"]:
            return HealthRoute()
        case ["api", "models", *rest]:
            repo_id, action, rest = _split(rest, ("revision", "tree"))
            match action, rest:
                case "", []:
                    return ModelRoute(
                        repo_id=repo_id, revision=DEFAULT_REVISION, blobs=_flag(query, "blobs")
                    )
                case "revision", [revision]:
                    return ModelRoute(
                        repo_id=repo_id, revision=revision, blobs=_flag(query, "blobs")
                    )
                case "tree", [revision, *path]:
                    return TreeRoute(
                        repo_id=repo_id,
                        revision=revision,
                        path="/".join(path),
                        recursive=_flag(query, "recursive"),
                    )
        case _:
            repo_id, action, rest = _split(segments, ("resolve",))
            match action, rest:
                case "resolve", [revision, *path] if path:
                    return FileRoute(repo_id=repo_id, revision=revision, path="/".join(path))
    raise RefusedRequestError(
        HTTPStatus.NOT_FOUND,
        f"no such path: '{url.path}'; this mirror serves models, at /api/models/MODEL"
        " and /MODEL/resolve/REVISION/FILE",
        code="RepoNotFound",
    )


def _split(segments: list[str], actions: tuple[str, ...]) -> tuple[str, str, list[str]]:
    """Name of the model, what is asked of it, and the segments after that.

    A name has one or two segments; a first segment followed by an action is a whole name.
    """
    for length in (1, 2):
        if len(segments) > length and segments[length] in actions:
            return "/".join(segments[:length]), segments[length], segments[length + 1 :]
    return "/".join(segments), "", []


def _flag(query: dict[str, list[str]], name: str) -> bool:
    return query.get(name, [""])[-1].lower() in ("true", "1")
