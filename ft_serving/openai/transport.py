"""Speaks Triton's inference protocol over HTTP on an event loop.

It uses aiohttp, because a thread a stream, as `ft_serving.client` has it, costs more than many of a
model's tokens, and httpx twice as much a token as aiohttp.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
from pydantic_core import from_json, to_json

from ft_serving.client.answer import Answer
from ft_serving.client.endpoint import Endpoint
from ft_serving.client.http_transport import (
    CONNECT_TIMEOUT_S,
    LONGEST_REFUSAL_BYTES,
    HttpTransport,
    flat,
    whole,
)
from ft_serving.client.model import ModelDescription
from ft_serving.client.transport import Inputs

Headers = list[tuple[str, str]]


class AsyncTransport(HttpTransport):
    """Connections of a pool, to be opened and closed on an event loop.

    Every method raises what those of `Transport` do.
    """

    def __init__(self, endpoint: Endpoint, model: str, timeout_s: float) -> None:
        super().__init__(endpoint, model, timeout_s)
        # A response has all tokens so far: json takes three times as long.
        self._read_json = from_json

    def open(self) -> None:
        """Make the pool; nothing is connected yet."""
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, sock_connect=CONNECT_TIMEOUT_S),
            proxy=self._proxy.address if self._proxy else None,
            # Answers pass as they are: Triton would compress them for whoever says it may.
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding",),
            cookie_jar=aiohttp.DummyCookieJar(),
            # The tokens that have come while the loop was busy are read at once.
            read_bufsize=1 << 20,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        self.close()
        await self._http.close()

    async def ask_description(self, timeout_s: float) -> ModelDescription:
        """See `describe`."""
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with self._answered("GET", "config", {"timeout": timeout}) as response:
            return ModelDescription.from_config(self._parsed(await response.read()))

    async def ask_whole(self, inputs: Inputs) -> Answer:
        """See `infer`."""
        async with self._answered("POST", "infer", {"data": to_json(whole(inputs))}) as response:
            return self._answer(await response.read())

    async def ask_events(
        self, rows: Mapping[str, Sequence[Any]]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Ask for a stream of one row; yield the values of the last response whenever some came.

        A response has all tokens so far, so that one that waits behind another has both's.
        """
        body = {"data": to_json(flat(rows))}
        async with self._answered("POST", "generate_stream", body) as response:
            rest = b""
            async for data in response.content.iter_any():
                events, end, rest = (rest + data).rpartition(b"\n\n")
                if end:
                    last = events.rpartition(b"\n\n")[2]
                    yield self._event(last.removeprefix(b"data:"))

    async def pass_on(
        self, method: str, path: str, headers: Headers, body: AsyncIterator[bytes] | None
    ) -> aiohttp.ClientResponse:
        """Send somebody else's request as it is, and return its answer, to be read and closed."""
        base = self._base.partition("/v2/")[0]
        # Whoever asks decides how long it may take.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        with self._explaining():
            return await self._request(
                method, base + path, {"headers": headers, "data": body, "timeout": timeout}
            )

    @asynccontextmanager
    async def _answered(
        self, method: str, what: str, more: Mapping[str, Any]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open the answer to a request; an error while it is read becomes a ClientError, too."""
        with self._explaining():
            asked = self._request(
                method, f"{self._base}/{what}", {"headers": self._headers, **more}
            )
            async with await asked as response:
                if response.status != 200:
                    content = await response.content.read(LONGEST_REFUSAL_BYTES)
                    location = response.headers.get("Location")
                    raise self._refusal(response.status, content, response.headers, location)
                yield response

    async def _request(
        self, method: str, url: str, more: Mapping[str, Any]
    ) -> aiohttp.ClientResponse:
        return await self._http.request(
            method,
            url,
            # A token must not follow where an answer leads.
            allow_redirects=False,
            proxy_headers=self._proxy.headers if self._proxy else None,
            **more,
        )

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as exc:
            raise self._too_slow(self._timeout_s) from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise self._unreachable(str(exc) or type(exc).__name__) from exc
