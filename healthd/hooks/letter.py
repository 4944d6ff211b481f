"""A mail as RFC 5322 has it. Headers are made of parts that are checked or escaped, so no text can add one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid, parseaddr

from healthd.events import Event
from healthd.hooks.mail_words import Scene, body, kind_of, subject

SEVEN_BIT = SMTP.clone(cte_type="7bit")
"""Whatever the text, what is sent is ASCII in short lines: every server on the way takes that."""

_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?")


def letter(events: Sequence[Event], scene: Scene, sender: str, to: Sequence[str], now: datetime) -> EmailMessage:
    """The mail about some events. sender: an address, maybe with a name. now: with its zone."""
    name, address = parseaddr(sender)
    message = EmailMessage(SEVEN_BIT)
    message["From"] = addressed(address, name)
    message["To"] = [addressed(one) for one in to]
    message["Subject"] = subject(events, scene)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = make_msgid("healthd", domain=scene.host if _DOMAIN.fullmatch(scene.host) else "localhost")
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notice comes back
    message["X-Healthd-Kind"] = ", ".join(dict.fromkeys(kind_of(event) for event in events))
    message.set_content(body(events, scene))
    return message


def addressed(address: str, name: str = "") -> Address:
    """An address for a header; one of this machine may have no domain."""
    local, _, domain = address.rpartition("@") if "@" in address else (address, "", "")
    return Address(name, local, domain)


def ascii_only(addresses: Sequence[str]) -> bool:
    """Whether none of these needs internationalised headers (RFC 6532)."""
    return all(address.isascii() for address in addresses)


def for_mailer(message: EmailMessage, addresses: Sequence[str]) -> bytes:
    """The mail as a program on this machine takes it: its lines end as lines of this machine do."""
    return message.as_bytes(policy=SEVEN_BIT.clone(linesep="\n", utf8=not ascii_only(addresses)))
