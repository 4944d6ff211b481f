"""Mail for the same people by the same server: one queue, which sends together what happens together.

What piled up while the mail server was away goes together, too. A mail is tried again for hours, until the server takes
it or says that it never will; whoever it was taken for does not get it twice.
"""

from __future__ import annotations

import logging
import os
import pwd
import socket
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path
from typing import TYPE_CHECKING

from healthd.config.mail import MAILER
from healthd.config.schema import MailSettings, Stage
from healthd.events import Event
from healthd.hooks.base import DeliveryFailed
from healthd.hooks.courier import Collector, Retries
from healthd.hooks.exec import run
from healthd.hooks.letter import for_mailer, letter
from healthd.hooks.mail_words import About, Scene, worth_sending

if TYPE_CHECKING:
    from healthd.hooks.smtp import Sent

logger = logging.getLogger(__name__)

RETRIES = Retries(60, first=5.0, most=300.0)
"""About five hours."""
DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds without news until a mail goes, and the most that it is held back after its first event."""

    quiet: float = 2.0
    longest: float = 10.0


@dataclass(frozen=True, slots=True)
class Way:
    """How mail is carried. mailer: program of this machine that takes mail. retries: until it is given up."""

    pace: Pace = Pace()
    retries: Retries = RETRIES
    mailer: str = MAILER


USUAL = Way()


class Postbox:
    """All mail for the same people by the same server. stage: what the daemon is doing. done: as of a Collector."""

    def __init__(
        self, settings: MailSettings, stage: Callable[[], Stage], way: Way, done: Callable[[Sequence[Event]], None]
    ) -> None:
        self._settings = settings
        self._stage = stage
        self._mailer = way.mailer
        self._about: dict[str, About] = {}
        self._events: Sequence[Event] = ()
        self._left: tuple[str, ...] = ()
        self._letter = EmailMessage()
        name = f"mail to {', '.join(settings.to)} by {settings.server or way.mailer}"
        pace = way.pace
        self._collector = Collector(
            name, self._deliver, quiet=pace.quiet, longest=pace.longest, done=done, retries=way.retries
        )
        self.stats = self._collector.stats
        self.close = self._collector.close

    def put(self, event: Event, about: About) -> None:
        """Take an event of a service that people should know this about."""
        self._about[event.service] = about
        self._collector.event(event)

    async def _deliver(self, events: Sequence[Event]) -> None:
        if events is not self._events:
            self._events, self._left = events, self._settings.to
            self._letter = self._written(worth_sending(events))
        if self._settings.server is None:
            await self._by_mailer()
            return
        sent = await self._by_smtp()
        for address, why in sent.refused.items():
            logger.warning("%s refuses mail for %s: %s", self._settings.server, address, why)
        self._left = sent.later
        if sent.later:
            raise DeliveryFailed(f"{self._settings.server} puts off mail for {', '.join(sent.later)}")

    def _written(self, events: Sequence[Event]) -> EmailMessage:
        scene = Scene(socket.gethostname(), self._stage(), self._about)
        sender = self._settings.sender or own_address(scene.host)
        return letter(events, scene, sender, self._settings.to, datetime.now().astimezone())

    async def _by_mailer(self) -> None:
        if not os.access(self._mailer, os.X_OK):
            raise DeliveryFailed(f"there is no {self._mailer} on this machine: install a mailer or name a server")
        given = self._settings.sender
        sender = ("-f", parseaddr(given)[1]) if given else ()
        text = for_mailer(self._letter, (*self._left, *sender))
        try:
            await run((self._mailer, "-t", "-oi", *sender), {}, text, DEADLINE)
        except DeliveryFailed as failure:
            raise DeliveryFailed(f"{failure}{powerless(self._mailer)}", failure.output) from None

    async def _by_smtp(self) -> Sent:
        from healthd.hooks.smtp import Envelope, send

        envelope = Envelope(parseaddr(str(self._letter["From"]))[1], self._left)
        return await send(self._settings, envelope, self._letter, DEADLINE)


def powerless(mailer: str, status: str = "/proc/self/status") -> str:
    """Why a mailer that must gain rights cannot do so here; empty if it needs none or can. status: as in proc(5)."""
    try:
        needs = Path(mailer).stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
        kept = "NoNewPrivs:\t1\n" in Path(status).read_text()
    except OSError:
        return ""
    if needs and kept:
        return (
            f"; {mailer} needs rights that healthd may not pass on (NoNewPrivileges): name a server, such as localhost"
        )
    return ""


def own_address(host: str) -> str:
    """The daemon's own user at this host."""
    number = os.geteuid()
    with suppress(KeyError):
        return f"{pwd.getpwuid(number).pw_name}@{host}"
    return f"healthd@{host}"
