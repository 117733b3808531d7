"""The hub's protocol, read-only, as an ASGI application.

Its addresses are those that huggingface_hub asks for (`hf_api.py`: `model_info`, `list_repo_tree`;
`file_download.py`: `hf_hub_url`), and the keys of its documents are those that `hf_api.py` reads
into `ModelInfo` and `RepoFile`. Status, code and message of a refusal are those from which its
`utils/_http.py` (`hf_raise_for_status`) picks the exception that its caller sees.
"""

import hmac
from http import HTTPStatus
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from local_platform.errors import PlatformError
from local_platform.hub.repository import (
    DEFAULT_REVISION,
    Catalogue,
    ModelFile,
    ModelSnapshot,
    refusal,
)

Document = dict[str, Any]


class _FileResponse(FileResponse):
    # Each chunk is read in a thread, and a change of threads costs more than 64 KiB.
    chunk_size = 1024 * 1024


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
        blobs = request.query_params.get("blobs", "").lower() in ("true", "1")
        return _document(_model(snapshot, blobs=blobs), snapshot)

    def tree(request: Request) -> Response:
        snapshot = snapshot_for(request)
        return _document(_tree(snapshot), snapshot)

    def content(request: Request) -> Response:
        snapshot = snapshot_for(request)
        path = request.path_params["path"]
        if path not in snapshot.files:
            # huggingface_hub remembers by the commit that the file does not exist.
            raise refusal(
                f"{snapshot.repo_id} has no file '{path}' at commit {snapshot.commit}",
                code="EntryNotFound",
                headers={"X-Repo-Commit": snapshot.commit},
            )
        file = snapshot.files[path]
        headers = {"ETag": f'"{file.etag}"', "X-Repo-Commit": snapshot.commit}
        return _FileResponse(file.location, headers=headers, media_type="application/octet-stream")

    # A probe has no token.
    routes = [Route("/healthz", lambda _: PlainTextResponse("ok\n"))]
    for name in ("{name}", "{namespace}/{name}"):
        routes += [
            Route(f"/api/models/{name}", model),
            Route(f"/api/models/{name}/revision/{{revision:path}}", model),
            Route(f"/api/models/{name}/tree/{{revision}}", tree),
            Route(f"/{name}/resolve/{{revision}}/{{path:path}}", content),
        ]
    handlers = {PlatformError: _refuse, HTTPException: _refuse}
    return Starlette(routes=routes, exception_handlers=handlers)


def _authorise(header: str | None, token: str) -> None:
    if header is None:
        # The hub hides from strangers whether a private model exists. huggingface_hub concludes
        # that from a bare 401 only for https addresses, so the code is always sent.
        raise refusal(
            "this mirror needs a token: pass token=…, or set HF_TOKEN to it",
            status=HTTPStatus.UNAUTHORIZED,
            code="RepoNotFound",
            headers={"WWW-Authenticate": "Bearer"},
        )
    scheme, _, given = header.partition(" ")
    # Encoded, because compare_digest refuses text that is not ASCII.
    right = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not right:
        # Without a code, and with exactly this message, huggingface_hub reports a failed login
        # and not a missing model.
        raise HTTPException(
            HTTPStatus.UNAUTHORIZED,
            "Invalid credentials in Authorization header",
            {"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )


def _refuse(request: Request, error: Exception) -> Response:
    """Tell a client of an error the way the hub does: in headers, and in a JSON body."""
    status, message, headers = HTTPStatus.INTERNAL_SERVER_ERROR.value, str(error), {}
    if isinstance(error, HTTPException):
        status, message, headers = error.status_code, error.detail, dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        message = f"'{request.method}': this mirror is read-only"
    elif status == HTTPStatus.NOT_FOUND and not headers:
        message = (
            f"no such path: '{request.url.path}'; this mirror serves models, at /api/models/MODEL"
            " and /MODEL/resolve/REVISION/FILE"
        )
        headers = {"X-Error-Code": "RepoNotFound"}
    # Escaped, because a message quotes what the client sent, and line ends would add headers.
    headers["X-Error-Message"] = message.encode("unicode_escape").decode()
    return JSONResponse({"error": message}, status, headers)


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


def _tree(snapshot: ModelSnapshot) -> list[Document]:
    """List all files of a model in one page: downloads ask for no more, and skip folders."""
    return [
        {"type": "file", "path": path, "size": file.size, "oid": file.blob_id, **_lfs(file, "oid")}
        for path, file in snapshot.files.items()
    ]


def _lfs(file: ModelFile, digest: str) -> Document:
    """Return the entry `lfs` of a file that is in Git LFS, and nothing for any other."""
    if file.pointer_size is None:
        return {}
    return {"lfs": {digest: file.sha256, "size": file.size, "pointerSize": file.pointer_size}}
