"""Asks the daemon for `healthd top`, in threads, so that no key waits for an answer."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from healthd.control import ControlError, Refusal, ask, follow
from healthd.top.words import Answered, Away, Explain, Explained, Happened, Message, Order, Request, Status, Unheard

REFRESH, SLOWEST = 1.0, 2.0
SHARE = 4.0
"""A status is asked for again after this many times as long as its answer took: the daemon has other things to do."""
PATIENCE = 10.0
EVENTS = 50
AGAIN = 2.0
VERSION = 1


class Feed:
    """Tells what the daemon says. tell: called from other threads."""

    def __init__(self, socket: Path, tell: Callable[[Message], None]) -> None:
        self._socket = socket
        self._tell = tell
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._hurry = threading.Event()

    def start(self) -> None:
        """Begin. The threads end with the process: one that waits for an answer cannot be told to."""
        for target in (self._look, self._listen, self._serve):
            threading.Thread(target=target, name=f"top-{target.__name__}", daemon=True).start()

    def request(self, request: Request) -> None:
        """Ask for this, after what was asked for before."""
        self._requests.put(request)

    def _look(self) -> None:
        while True:
            began = time.monotonic()
            self._tell(self._status())
            self._hurry.wait(min(SLOWEST, max(REFRESH, SHARE * (time.monotonic() - began))))
            self._hurry.clear()

    def _status(self) -> Status | Away:
        try:
            document = ask(self._socket, "GET", "/v1/status?counters", PATIENCE)
        except ControlError as error:
            return Away(str(error), _clock())
        if document.get("version") != VERSION:
            return Away(f"its status is of version {document.get('version')}, not {VERSION}", _clock())
        return Status(document, time.monotonic(), _clock())

    def _listen(self) -> None:
        while True:
            try:
                first = True
                for event in follow(self._socket, f"/v1/events/follow?limit={EVENTS}"):
                    self._tell(Happened(event, first))
                    first = False
            except ControlError as error:
                self._tell(Unheard(str(error)))
            time.sleep(AGAIN)

    def _serve(self) -> None:
        while True:
            match self._requests.get():
                case Explain(names):
                    self._tell(self._explained(names))
                case Order() as order:
                    self._tell(self._ordered(order))
                    self._hurry.set()

    def _explained(self, names: tuple[str, ...]) -> Explained:
        try:
            document = ask(
                self._socket, "GET", f"/v1/explain?{urlencode([('name', name) for name in names])}", PATIENCE
            )
        except ControlError as error:
            return Explained(names, str(error))
        return Explained(names, "\n\n".join(one["text"] for one in document.get("servers") or document["services"]))

    def _ordered(self, order: Order) -> Answered:
        try:
            document = ask(self._socket, order.method, "/v1/overrides", PATIENCE, body=dict(order.body))
        except Refusal as error:
            return Answered(error.said, good=False)
        except ControlError as error:
            return Answered(str(error), good=False)
        unsaved = document["unsaved"]
        return Answered(f"{order.done}; it does not live through a restart: {unsaved}" if unsaved else order.done, True)


def _clock() -> str:
    """Time of day in UTC, as events and `explain` have it."""
    return time.strftime("%H:%M:%SZ", time.gmtime())
