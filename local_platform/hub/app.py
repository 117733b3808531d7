"""The hub's protocol, read-only, as an ASGI application.

Its addresses are those that huggingface_hub asks for (`hf_api.py`: `model_info`, `list_repo_tree`;
`file_download.py`: `hf_hub_url`), and the keys of its documents are those that `hf_api.py` reads
into `ModelInfo`, `RepoFile` and `RepoFolder`.
"""

import hmac
import os
import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from io import FileIO
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from local_platform.errors import FileChangedError, RefusedRequestError
from local_platform.hub.repository import (
    DEFAULT_REVISION,
    Catalogue,
    ModelFile,
    ModelSnapshot,
    content_id,
    version_of,
)

Document = dict[str, Any]

_CHUNK_BYTES = 512 * 1024


def create_app(catalogue: Catalogue, token: str | None) -> Starlette:
    """Return the application.

    Args:
        catalogue: The models to serve.
        token: The bearer token that clients must send; None lets everyone in.
    """

    def snapshot_for(request: Request) -> ModelSnapshot:
        if token is not None:
            _authorise(request.headers.get("Authorization"), token)
        asked = request.path_params
        repo_id = "/".join(asked[part] for part in ("namespace", "name") if part in asked)
        return catalogue.snapshot(repo_id, asked.get("revision", DEFAULT_REVISION))

    # Starlette runs these three in threads, because they read disks.
    def model(request: Request) -> Response:
        snapshot = snapshot_for(request)
        return _document(_model(snapshot, blobs=_flag(request, "blobs")), snapshot)

    def tree(request: Request) -> Response:
        snapshot = snapshot_for(request)
        path = request.path_params.get("path", "")
        return _document(_tree(snapshot, path, recursive=_flag(request, "recursive")), snapshot)

    def content(request: Request) -> Response:
        snapshot = snapshot_for(request)
        path = request.path_params["path"]
        if path not in snapshot.files:
            raise _entry_not_found(snapshot, f"file '{path}'")
        return _content(snapshot.files[path], request, {"X-Repo-Commit": snapshot.commit})

    # A probe has no token.
    routes = [Route("/healthz", lambda _: PlainTextResponse("ok\n"))]
    for name in ("{name}", "{namespace}/{name}"):
        routes += [
            Route(f"/api/models/{name}", model),
            Route(f"/api/models/{name}/revision/{{revision:path}}", model),
            Route(f"/api/models/{name}/tree/{{revision}}", tree),
            Route(f"/api/models/{name}/tree/{{revision}}/{{path:path}}", tree),
            Route(f"/{name}/resolve/{{revision}}/{{path:path}}", content),
        ]
    handlers = {RefusedRequestError: _refuse, HTTPException: _refuse}
    return Starlette(routes=routes, exception_handlers=handlers)


def _authorise(header: str | None, token: str) -> None:
    if header is None:
        # The hub hides from strangers whether a private model exists. huggingface_hub concludes
        # that from a bare 401 only for https addresses, so the code is always sent.
        raise RefusedRequestError(
            HTTPStatus.UNAUTHORIZED,
            "this mirror needs a token: pass token=…, or set HF_TOKEN to it",
            code="RepoNotFound",
            headers={"WWW-Authenticate": "Bearer"},
        )
    scheme, _, given = header.partition(" ")
    # Encoded, because compare_digest refuses text that is not ASCII.
    right = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not right:
        # Without a code, and with exactly this message, huggingface_hub reports a failed login
        # and not a missing model.
        raise RefusedRequestError(
            HTTPStatus.UNAUTHORIZED,
            "Invalid credentials in Authorization header",
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )


def _refuse(request: Request, error: Exception) -> Response:
    """Tell a client of an error the way the hub does: in headers, and in a JSON body."""
    if isinstance(error, RefusedRequestError):
        refused = error
    elif isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        message = f"'{request.method}': this mirror is read-only"
        refused = RefusedRequestError(HTTPStatus.METHOD_NOT_ALLOWED, message, headers=error.headers)
    else:
        message = (
            f"no such path: '{request.url.path}'; this mirror serves models, at /api/models/MODEL"
            " and /MODEL/resolve/REVISION/FILE"
        )
        refused = RefusedRequestError(HTTPStatus.NOT_FOUND, message, code="RepoNotFound")
    # Escaped, because a message quotes what the client sent, and line ends would add headers.
    headers = {"X-Error-Message": str(refused).encode("unicode_escape").decode()}
    if refused.code is not None:
        headers["X-Error-Code"] = refused.code
    return JSONResponse({"error": str(refused)}, refused.status, headers | refused.headers)


def _entry_not_found(snapshot: ModelSnapshot, entry: str) -> RefusedRequestError:
    # huggingface_hub remembers by the commit that the file does not exist.
    return RefusedRequestError(
        HTTPStatus.NOT_FOUND,
        f"{snapshot.repo_id} has no {entry} at commit {snapshot.commit}",
        code="EntryNotFound",
        headers={"X-Repo-Commit": snapshot.commit},
    )


def _content(file: ModelFile, request: Request, headers: dict[str, str]) -> Response:
    """Return a response with a file, or with the range of it that the request asks for."""
    etag = f'"{file.etag}"'
    headers |= {"ETag": etag, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    if file.pointer_size is not None:
        headers |= {"X-Linked-ETag": etag, "X-Linked-Size": str(file.size)}
    part, status = range(file.size), HTTPStatus.OK
    # A range of a HEAD request has no meaning (RFC 9110 section 14.2). If-Range may also hold a
    # date, which never equals the tag.
    if request.method == "GET" and request.headers.get("If-Range", etag) == etag:
        asked = _asked_range(request.headers.get("Range", ""), file.size)
        if asked is not None:
            part, status = asked, HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{file.size}"
    headers["Content-Length"] = str(len(part))
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    # Opened before the headers are sent: a file that is replaced after them arrives whole.
    stream = file.location.open("rb", buffering=0)
    return StreamingResponse(_chunks(file, stream, part), status, headers)


def _asked_range(header: str, size: int) -> range | None:
    """Read a Range header field, as RFC 9110 section 14 has it.

    Returns:
        The offsets asked for, cut at the file's end. None where the whole file is the answer: the
        field is malformed, in another unit or of several ranges, which section 14.2 lets a server
        ignore.

    Raises:
        RefusedRequestError: No byte of the range lies within the file.
    """
    # Twenty digits hold any size there is; longer numbers are not worth their parsing.
    match = re.fullmatch(r"bytes=\s*([0-9]{0,20})-([0-9]{0,20})\s*", header, re.IGNORECASE)
    first, last = match.groups() if match else ("", "")
    if not (first or last) or (first and last and int(first) > int(last)):
        return None
    start = int(first) if first else max(size - int(last), 0)
    stop = min(int(last) + 1, size) if first and last else size
    if start >= stop:
        raise RefusedRequestError(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            f"no byte of the range '{header}' lies within the file's {size} bytes",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return range(start, stop)


async def _chunks(file: ModelFile, stream: FileIO, part: range) -> AsyncIterator[bytes]:
    """Yield a part of an open file as long as nobody writes to the file; close it.

    A client then sees a body that ends too early, never a whole one made of two versions. A file
    that is replaced by rename, as copying tools do, has none of this: the open one stays as it was.

    Raises:
        FileChangedError: Somebody wrote to it; uvicorn logs this, and closes the connection.
    """
    # Read in the event loop, because a change of threads costs more than a chunk.
    with stream:
        stream.seek(part.start)
        for offset in range(part.start, part.stop, _CHUNK_BYTES):
            chunk = stream.read(min(_CHUNK_BYTES, part.stop - offset))
            # Only size and time: a rename over it changes an open file's change time, too.
            if version_of(os.fstat(stream.fileno()))[2:4] != file.version[2:4]:
                raise FileChangedError(f"{file.location}: was changed while it was sent")
            yield chunk


def _flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in ("true", "1")


def _document(content: Document | list[Document], snapshot: ModelSnapshot) -> Response:
    return JSONResponse(content, headers={"X-Repo-Commit": snapshot.commit})


def _model(snapshot: ModelSnapshot, *, blobs: bool) -> Document:
    """Describe a model, with `blobs` also sizes and digests of its files."""
    siblings = [
        {"rfilename": path}
        | ({"blobId": file.blob_id, "size": file.size, **_lfs(file, "sha256")} if blobs else {})
        for path, file in snapshot.files.items()
    ]
    return {
        "id": snapshot.repo_id,
        "modelId": snapshot.repo_id,
        "author": snapshot.repo_id.rpartition("/")[0] or None,
        "sha": snapshot.commit,
        # huggingface_hub before 0.24 demands these four.
        "private": False,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": siblings,
    }


def _tree(snapshot: ModelSnapshot, folder: str, *, recursive: bool) -> list[Document]:
    """List a folder of a model in one page; `folder` is empty for the model itself.

    The `oid` of a folder in it is the `content_id` of the files below that, with their paths
    relative to it.
    """
    prefix = f"{folder.rstrip('/')}/" if folder else ""
    below = {path: file for path, file in snapshot.files.items() if path.startswith(prefix)}
    if not below:
        raise _entry_not_found(snapshot, f"folder '{folder}'")
    entries: dict[str, Document] = {}
    for path, file in below.items():
        slashes = [
            place for place, letter in enumerate(path) if letter == "/" and place >= len(prefix)
        ]
        for place in slashes if recursive else slashes[:1]:
            inside = [
                (p[place + 1 :], f) for p, f in below.items() if p.startswith(path[: place + 1])
            ]
            entry = {
                "type": "directory",
                "path": path[:place],
                "size": 0,
                "oid": content_id(inside),
            }
            entries[path[:place]] = entry
        if recursive or not slashes:
            entry = {"type": "file", "path": path, "size": file.size, "oid": file.blob_id}
            entries[path] = entry | _lfs(file, "oid")
    return list(entries.values())


def _lfs(file: ModelFile, digest: str) -> Document:
    """Return the entry `lfs` of a file that is in Git LFS, and nothing for any other."""
    if file.pointer_size is None:
        return {}
    return {"lfs": {digest: file.sha256, "size": file.size, "pointerSize": file.pointer_size}}
