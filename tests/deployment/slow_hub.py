"""A slow way to the model hub mirror: `python -m tests.deployment.slow_hub PORT`.

Runs in the node, where pods reach it. To take the hub away, a test ends the process.
"""

import asyncio
import contextlib
import sys

from local_platform.settings import HUB_PORT

BYTES_A_SECOND = 400_000
_PIECE_BYTES = 20_000


async def _pass_on(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, bytes_a_second: float
) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await source.read(_PIECE_BYTES):
            target.write(piece)
            await target.drain()
            await asyncio.sleep(len(piece) / bytes_a_second)
    target.close()


async def _connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    hub_reader, hub_writer = await asyncio.open_connection("127.0.0.1", HUB_PORT)
    await asyncio.gather(
        _pass_on(reader, hub_writer, float("inf")),
        _pass_on(hub_reader, writer, BYTES_A_SECOND),
    )


async def _serve(port: int) -> None:
    server = await asyncio.start_server(_connect, "0.0.0.0", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
