"""The director's end of the socket to one prober process: orders go out, messages come in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from healthd.prober import orders, wire


class Line:
    """A line to a prober, until `close`. control: its socket, non-blocking, whose owner closes it.

    hear: called with each message, which has been checked to its last field; it may raise Malformed. lose: called when
    nothing more will come, with the reason, "" for the plain end. Needs a running loop.
    """

    def __init__(
        self, control: socket.socket, hear: Callable[[wire.Message], None], lose: Callable[[str], None]
    ) -> None:
        self._control = control
        self._hear = hear
        self._lose = lose
        self._assembler = wire.Assembler()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(control, self._read)

    def close(self) -> None:
        """Hear nothing more."""
        self._loop.remove_reader(self._control)

    async def send(self, order: orders.Order, sock: socket.socket | None = None) -> None:
        """Send an order, and a descriptor with it, which is then closed here.

        Waits as long as the prober does not read. Raises OSError if it has gone.
        """
        *most, last = wire.packets(orders.dump(order))
        try:
            for packet in most:
                await self._send(packet, ())
            await self._send(last, (sock.fileno(),) if sock else ())
        finally:
            if sock is not None:
                sock.close()

    async def _send(self, packet: bytes, fds: Sequence[int]) -> None:
        while True:
            try:
                if fds:
                    socket.send_fds(self._control, [packet], list(fds))
                else:
                    self._control.send(packet)
            except BlockingIOError:
                await self._writable()
            else:
                return

    async def _writable(self) -> None:
        writable: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(self._control, _settle, writable)
        try:
            await writable
        finally:
            self._loop.remove_writer(self._control)

    def _read(self) -> None:
        try:
            packet = self._control.recv(wire.FRAGMENT + 2)
            message = self._assembler.feed(packet) if packet else None
            if message is not None:
                self._hear(wire.decode(message))
        except (BlockingIOError, ConnectionResetError):
            return  # a reset (it ended without reading all) comes before what it said last, and is told once
        except wire.Malformed as error:
            self._end(f"sent what no prober sends ({error}) and was killed")
        except OSError as error:
            self._end(f"cannot be heard: {error.strerror}")
        else:
            if not packet:
                self._end("")

    def _end(self, why: str) -> None:
        self.close()
        self._lose(why)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
