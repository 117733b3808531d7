"""The server: OpenAI's endpoints, and the inference protocol passed on to Triton."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar

import aiohttp
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from tokenizers import Tokenizer

from ft_serving.client.errors import ClientError
from ft_serving.openai.chat import ChatReply, ChatTemplate
from ft_serving.openai.completions import CompletionReply, Reply, Served
from ft_serving.openai.errors import OpenAIError, openai_error
from ft_serving.openai.metrics import Metrics, Watch
from ft_serving.openai.requests import ChatRequest, CompletionRequest, SamplingRequest, parse
from ft_serving.openai.upstream import Upstream

LARGEST_BODY_BYTES = 16 * 1024 * 1024
"""A batch of 1024 prompts of 2048 tokens, as token ids, fits."""

SMALL_BODY_BYTES = 4096
"""Such a request is read within a millisecond, which to hand it to a thread takes, too."""

CLIENT_GONE = 499
"""The status that metrics count a request with whose client went away, as nginx has it."""

_logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Asked = TypeVar("Asked", bound=SamplingRequest)


class _Api:
    """The endpoints; for the arguments see `create_app`."""

    def __init__(
        self,
        upstream: Upstream,
        model: str,
        tokenizer: Tokenizer,
        template: ChatTemplate | None,
    ) -> None:
        self._upstream = upstream
        self._name = model
        self._tokenizer = tokenizer
        self._longest_token = max(map(len, tokenizer.get_vocab()))
        self._template = template
        self._metrics = Metrics()
        self._created = int(time.time())

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Open connections, and close them at the end."""
        self._upstream.transport.open()
        # Whatever the first request would have to load otherwise.
        await run_in_threadpool(self._tokenizer.encode, "")
        yield
        await self._upstream.aclose()

    async def completions(self, request: Request) -> Response:
        """Answer `POST /v1/completions`."""
        return await self._counted(request, CompletionRequest, CompletionReply)

    async def chat(self, request: Request) -> Response:
        """Answer `POST /v1/chat/completions`."""
        return await self._counted(request, ChatRequest, self._chat)

    async def models(self, _request: Request) -> Response:
        """Answer `GET /v1/models`; it does not wake the model."""
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        """Answer `GET /v1/models/NAME`."""
        self._check_model(request.path_params["name"])
        return JSONResponse(self._model())

    async def health(self, _request: Request) -> Response:
        """Answer 200: requests are taken, and the model is waited for. It does not wake it."""
        return JSONResponse({})

    async def metrics(self, _request: Request) -> Response:
        """Answer Prometheus."""
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    async def pass_on(self, request: Request) -> Response:
        """Pass a request of the inference protocol on to Triton, and its answer back as it comes.

        Raises:
            UnavailableError: Triton cannot be reached.
        """
        sent = asyncio.Event()
        headers = [(k, v) for k, v in request.headers.items() if k not in _NOT_PASSED]
        body = None
        if {"content-length", "transfer-encoding"} & set(request.headers):
            body = _until_sent(request, sent)
        else:
            sent.set()
        query = request.url.query
        path = request.url.path + (f"?{query}" if query else "")
        asked = self._upstream.transport.pass_on(request.method, path, headers, body)
        answer = await _unless_gone(request, asked, sent)
        passed = StreamingResponse(_raw(answer), status_code=answer.status)
        passed.raw_headers = [
            (k.lower(), v) for k, v in answer.raw_headers if k.decode().lower() not in _HOPS
        ]
        return passed

    async def _counted(
        self, request: Request, kind: type[Asked], begin: Callable[[Asked, Served], Reply]
    ) -> Response:
        """Answer a request, and count it if it fails before its answer begins.

        Args:
            request: The request.
            kind: The form that its body must have.
            begin: Makes a reply of the body, in a thread.

        Raises:
            OpenAIError: It is refused, or it failed.
        """
        watch = Watch(self._metrics, request.url.path)
        try:
            body = await _body(request)
            return await _unless_gone(request, self._answer(body, kind, begin, watch))
        except Exception as exc:
            error = _as_openai(exc)
            watch.end(error.status)
            raise error from exc

    async def _answer(
        self,
        body: bytes,
        kind: type[Asked],
        begin: Callable[[Asked, Served], Reply],
        watch: Watch,
    ) -> Response:
        work = _at_once if len(body) <= SMALL_BODY_BYTES else run_in_threadpool
        asked = await work(parse, kind, body)
        self._check_model(asked.model)
        model = await self._upstream.model()
        served = Served(
            name=self._name,
            tokenizer=self._tokenizer,
            longest_token=self._longest_token,
            limits=model.limits,
        )
        reply = await work(begin, asked, served)
        if not asked.stream:
            document = await reply.answer(self._upstream, watch)
            watch.end(HTTPStatus.OK)
            return JSONResponse(document)
        events = reply.events(self._upstream, watch)
        # An error before the first token is an HTTP status, as without a stream.
        first = await anext(events)
        return StreamingResponse(
            _counted_events(first, events, watch),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )

    def _chat(self, asked: ChatRequest, served: Served) -> ChatReply:
        if self._template is None:
            raise OpenAIError(
                "This server has no chat template, so it serves /v1/completions only. Set "
                "serving.chatTemplate to the model's to have chat completions",
                param="messages",
            )
        return ChatReply(asked, served, self._template)

    def _check_model(self, name: str) -> None:
        if name != self._name:
            raise OpenAIError(
                f"The model {name!r} does not exist; this server has {self._name!r}",
                status=HTTPStatus.NOT_FOUND,
                param="model",
                code="model_not_found",
            )

    def _model(self) -> dict[str, Any]:
        return {
            "id": self._name,
            "object": "model",
            "created": self._created,
            "owned_by": "ft-serving",
        }


def create_app(
    upstream: Upstream, model: str, tokenizer: Tokenizer, template: ChatTemplate | None
) -> Starlette:
    """Return the ASGI application.

    Args:
        upstream: The served model, to which `/v2` is passed on; it is closed with the application.
        model: The model's name in requests and answers.
        tokenizer: The model's.
        template: Makes a prompt of a conversation; without it there is no chat.
    """
    api = _Api(upstream, model, tokenizer, template)
    routes = [
        Route("/v1/completions", api.completions, methods=["POST"]),
        Route("/v1/chat/completions", api.chat, methods=["POST"]),
        Route("/v1/models", api.models),
        Route("/v1/models/{name:path}", api.model),
        Route("/health", api.health),
        Route("/metrics", api.metrics),
        Route("/v2/{path:path}", api.pass_on, methods=["GET", "POST"]),
        Route("/v2", api.pass_on),
    ]
    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        OpenAIError: _refuse,
        HTTPException: _refuse_http,
        ClientError: _refuse,
        ClientDisconnect: _refuse,
        Exception: _refuse,
    }
    return Starlette(routes=routes, exception_handlers=handlers, lifespan=api.lifespan)


# RFC 9110, 7.6.1: of a connection, and not of what is passed on.
_HOPS = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer"}
# This server has answered the last one itself.
_NOT_PASSED = _HOPS | {"host", "expect"}


async def _until_sent(request: Request, sent: asyncio.Event) -> AsyncGenerator[bytes, None]:
    async for piece in request.stream():
        yield piece
    sent.set()


async def _raw(answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    async with answer:
        async for piece in answer.content.iter_any():
            yield piece


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_BODY_BYTES:
            raise OpenAIError(
                f"The body has more than {LARGEST_BODY_BYTES} bytes; send several requests",
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
    return bytes(body)


async def _at_once(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return work(*args, **kwargs)


async def _counted_events(
    first: bytes, events: AsyncGenerator[bytes, None], watch: Watch
) -> AsyncGenerator[bytes, None]:
    """Yield the events of a stream, and count it at its end."""
    status: int = CLIENT_GONE
    try:
        async with aclosing(events):
            yield first
            async for event in events:
                yield event
        status = HTTPStatus.OK
    except Exception as exc:  # noqa: BLE001 - the client is told, and the log
        # The status is sent already; the official client raises what an event has as `error`.
        error = _as_openai(exc)
        status = error.status
        yield b"data: " + json.dumps(error.document()).encode() + b"\n\n"
    finally:
        watch.end(status)


async def _unless_gone(
    request: Request, work: Awaitable[T], sent: asyncio.Event | None = None
) -> T:
    """Return what comes of the work; cancel it when the client goes away.

    Args:
        request: The request, whose body is read.
        work: The work.
        sent: Set once the work has read the request's body, where that is a part of it.

    Raises:
        ClientDisconnect: The client went away.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request, sent))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(request: Request, sent: asyncio.Event | None) -> None:
    if sent:
        await sent.wait()
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _as_openai(exc: Exception) -> OpenAIError:
    """Return an exception as what the client is told; log one that is nobody's but ours."""
    if isinstance(exc, OpenAIError):
        return exc
    if isinstance(exc, ClientDisconnect):
        return OpenAIError("The client went away", status=CLIENT_GONE)
    if isinstance(exc, ClientError):
        return openai_error(exc)
    _logger.error("A request failed", exc_info=exc)
    return OpenAIError("The server failed; its log says why", status=500)


async def _refuse(_request: Request, exc: Exception) -> Response:
    error = _as_openai(exc)
    return JSONResponse(error.document(), error.status, error.headers())


async def _refuse_http(request: Request, exc: HTTPException) -> Response:
    asked = f"{request.method} {request.url.path}"
    said = f"There is no {asked} here" if exc.status_code in (404, 405) else exc.detail
    error = OpenAIError(said, status=exc.status_code)
    return JSONResponse(error.document(), error.status, exc.headers)
