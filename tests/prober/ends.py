"""Streams of which a test must know that both of them have ended."""

from __future__ import annotations

import contextlib
import threading

BOUND = 30.0
"""Seconds after which what has not ended is taken not to end."""


class Ends:
    """A handler that notes who came and how many have gone."""

    def __init__(self):
        self.gone = threading.Semaphore(0)
        self.peers = []

    def wait(self, connection):
        """Read until the other side ends."""
        with contextlib.suppress(OSError):
            self.peers.append(connection.getpeername()[0])
            while connection.recv(4096):
                pass
        self.gone.release()

    def both_gone(self):
        """True when two connections have ended."""
        return self.gone.acquire(timeout=BOUND) and self.gone.acquire(timeout=BOUND)
