"""What one would write without an engine: python clients.py asyncio|aiohttp tcp|http|dns TARGETS INTERVAL PORT.

One task per target that asks, sleeps until its next turn and asks again, until it is terminated.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Awaitable, Callable

from targets import address

TIMEOUT = 0.9


async def plain_tcp(host: str, port: int) -> None:
    """Connect with asyncio's streams."""
    _, writer = await asyncio.open_connection(host, port)
    writer.close()


async def plain_http(host: str, port: int) -> None:
    """GET with asyncio's streams."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    if b" 200 " not in await reader.readline():
        raise RuntimeError("not 200")
    writer.close()


async def plain_dns(host: str, port: int) -> None:
    """Ask with dnspython's own asyncio client."""
    import dns.asyncquery
    import dns.message

    await dns.asyncquery.udp(dns.message.make_query("example.net", "A"), host, port=port)


async def every(ask: Callable[[str, int], Awaitable[None]], host: str, port: int, interval: float) -> None:
    """Ask for ever."""
    due = time.monotonic() + random.random() * interval
    while True:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        due += interval
        try:
            async with asyncio.timeout(TIMEOUT):
                await ask(host, port)
        except (OSError, TimeoutError):
            continue


async def main(client: str, kind: str, count: int, interval: float, port: int) -> None:
    """Ask all targets."""
    ask = {"tcp": plain_tcp, "http": plain_http, "dns": plain_dns}[kind]
    if client == "aiohttp":
        import aiohttp

        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

        async def ask(host: str, port: int) -> None:
            async with session.get(f"http://{host}:{port}/healthz", allow_redirects=False) as answer:
                await answer.read()

    await asyncio.gather(*(every(ask, address(n), port, interval) for n in range(count)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])))
