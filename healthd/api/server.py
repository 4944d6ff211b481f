"""The control socket: HTTP with JSON on a unix socket; the kernel tells who is at the other end."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from healthd.api.actions import Actions
from healthd.api.door import MOST_CLIENTS, Door
from healthd.api.paths import bound, group_id
from healthd.api.peers import Peer, Readers
from healthd.api.routes import ROUTES, Right


@dataclass(frozen=True, slots=True)
class LocalCaller:
    """A process of this machine."""

    peer: Peer
    readers: Readers

    @property
    def name(self) -> str:
        """Name of its user."""
        return self.peer.name

    def may(self, right: Right) -> bool:
        """Whether it is allowed this."""
        return self.readers.may_write(self.peer.uid) or (right is Right.READ and self.readers.may_read(self.peer))


class ControlSocket:
    """Serves `actions` on a unix socket. path: made, with its directory, and removed at the end."""

    def __init__(self, path: Path, group: str | None, actions: Actions) -> None:
        self._path = path
        self._group = group
        self._door = Door(actions, self._caller, ROUTES)
        self._readers = Readers(None)
        self._server: asyncio.Server | None = None
        self._inode = 0

    async def start(self) -> None:
        """Begin to answer. Raises ControlSocketUnusable; `close` it then, too."""
        self._readers = Readers(group_id(self._group))
        listener = bound(self._path, self._readers.group, MOST_CLIENTS)
        self._inode = self._path.stat().st_ino
        await self._door.open()
        self._server = await asyncio.get_running_loop().create_unix_server(self._door.accept, sock=listener)

    async def close(self) -> None:
        """Stop answering and remove the socket."""
        with contextlib.suppress(FileNotFoundError):
            if self._inode and self._path.lstat().st_ino == self._inode:
                self._path.unlink()
        if self._server:
            self._server.close()
        await self._door.close()

    def _caller(self, request: web.Request) -> LocalCaller:
        assert request.transport is not None
        return LocalCaller(Peer.of(request.transport.get_extra_info("socket")), self._readers)
