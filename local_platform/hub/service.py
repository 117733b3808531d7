"""What the mirror answers: requests in, responses out, no sockets."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from io import FileIO

from local_platform.errors import RefusedRequestError
from local_platform.hub.digests import FileVersion
from local_platform.hub.documents import Document, model_document, tree_document
from local_platform.hub.ranges import ByteRange, parse_range
from local_platform.hub.repository import Catalogue
from local_platform.hub.request import Request
from local_platform.hub.routes import FileRoute, HealthRoute, ModelRoute, TreeRoute, parse_target


@dataclass(frozen=True, kw_only=True, slots=True)
class FileBody:
    """A part of an open file.

    Attributes:
        stream: the file, unbuffered; whoever takes the response closes it.
        version: the version of the file that the response's headers describe.
        part: the bytes to send.
    """

    stream: FileIO
    version: FileVersion
    part: ByteRange


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """An answer, before HTTP's own headers (`Date`, `Content-Length`) are added."""

    status: HTTPStatus
    headers: Mapping[str, str]
    body: bytes | FileBody


@dataclass(frozen=True, kw_only=True)
class HubService:
    """The hub's protocol over a catalogue of models.

    Attributes:
        catalogue: the models.
        token: what clients must send as a bearer token; None lets everyone in.
    """

    catalogue: Catalogue
    token: str | None = field(repr=False)

    def answer(self, request: Request) -> Response:
        """Answer a request; HEAD as GET is, for a sender that leaves out the body."""
        try:
            return self._answer(request)
        except RefusedRequestError as error:
            return error_response(error)

    def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            raise RefusedRequestError(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"'{request.method}': this mirror is read-only",
                # RFC 9110 section 15.5.6 demands it.
                headers={"Allow": "GET, HEAD"},
            )
        route = parse_target(request.target)
        if isinstance(route, HealthRoute):
            # Before the token is asked for: a probe has none.
            return Response(
                status=HTTPStatus.OK, headers={"Content-Type": "text/plain"}, body=b"ok\n"
            )
        self._authorise(request.headers.get("Authorization"))
        match route:
            case ModelRoute():
                snapshot = self.catalogue.snapshot(route.repo_id, route.revision)
                return _document(
                    model_document(snapshot, blobs=route.blobs), commit=snapshot.commit
                )
            case TreeRoute():
                snapshot = self.catalogue.snapshot(route.repo_id, route.revision)
                return _document(
                    tree_document(snapshot, route.path, recursive=route.recursive),
                    commit=snapshot.commit,
                )
            case FileRoute():
                # A range of a HEAD request has no meaning (RFC 9110 section 14.2).
                return self._file(route, request.headers if request.method == "GET" else Message())

    def _authorise(self, header: str | None) -> None:
        if self.token is None:
            return
        if header is None:
            # The hub hides from strangers whether a private model exists. huggingface_hub falls
            # back on the path to see this in a bare 401 only for https addresses, so the code is
            # always sent.
            raise RefusedRequestError(
                HTTPStatus.UNAUTHORIZED,
                "this mirror needs a token: pass token=…, or set HF_TOKEN to it",
                code="RepoNotFound",
                headers={"WWW-Authenticate": "Bearer"},
            )
        scheme, _, given = header.partition(" ")
        # Encoded: compare_digest takes text only if it is ASCII, and a header can hold anything.
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode(), self.token.encode()
        ):
            # Without a code, and with exactly this message, huggingface_hub reports a failed login
            # and not a missing model.
            raise RefusedRequestError(
                HTTPStatus.UNAUTHORIZED,
                "Invalid credentials in Authorization header",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )

    def _file(self, route: FileRoute, headers: Message) -> Response:
        snapshot, file, stream = self.catalogue.open(route.repo_id, route.revision, route.path)
        try:
            etag = f'"{file.etag}"'
            # If-Range may also hold a date; that never equals the tag, and the whole file is sent.
            wanted = headers.get("Range") if headers.get("If-Range", etag) == etag else None
            part = parse_range(wanted, file.size)
        except RefusedRequestError:
            stream.close()
            raise
        fields = {
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
            "ETag": etag,
            "X-Repo-Commit": snapshot.commit,
        }
        if file.digests.pointer_size is not None:
            fields |= {"X-Linked-ETag": etag, "X-Linked-Size": str(file.size)}
        if part is None:
            status = HTTPStatus.OK
            part = ByteRange(offset=0, length=file.size)
        else:
            status = HTTPStatus.PARTIAL_CONTENT
            last = part.offset + part.length - 1
            fields["Content-Range"] = f"bytes {part.offset}-{last}/{file.size}"
        return Response(
            status=status,
            headers=fields,
            body=FileBody(stream=stream, version=file.version, part=part),
        )


def error_response(error: RefusedRequestError) -> Response:
    """Tell a client of an error the way the hub does: in headers, and in a JSON body."""
    message = str(error)
    headers = {
        "Content-Type": "application/json",
        # Escaped: a message quotes what the client sent, and line ends would add header fields.
        "X-Error-Message": message.encode("unicode_escape").decode("ascii"),
        **error.headers,
    }
    if error.code is not None:
        headers["X-Error-Code"] = error.code
    return Response(
        status=error.status, headers=headers, body=json.dumps({"error": message}).encode()
    )


def _document(content: Document | list[Document], *, commit: str) -> Response:
    return Response(
        status=HTTPStatus.OK,
        headers={"Content-Type": "application/json", "X-Repo-Commit": commit},
        body=json.dumps(content).encode(),
    )
