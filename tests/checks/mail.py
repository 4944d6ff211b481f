"""What the tests of smtp, imap and pop share: steps as a transcript shows them, and mail servers in threads."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterable, Mapping

from checks.imap import ImapCheck
from checks.pop import PopCheck
from checks.smtp import SmtpCheck
from healthd.check import Send, Step, Tls
from tests.support.servers import Handler, line_of, over_tls

MailCheck = SmtpCheck | ImapCheck | PopCheck
KINDS: Mapping[str, type[MailCheck]] = {"smtp": SmtpCheck, "imap": ImapCheck, "pop": PopCheck}
SECURED = Tls(server_name="localhost.test")

GREETINGS = {"smtp": b"220 a.test ESMTP\r\n", "imap": b"* OK ready\r\n", "pop": b"+OK ready\r\n"}
ANSWERS: Mapping[str, Mapping[bytes, bytes]] = {
    "smtp": {
        b"EHLO": b"250-a.test\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN CRAM-MD5\r\n",
        b"STARTTLS": b"220 go\r\n",
        b"AUTH": b"235 in\r\n",
        b"QUIT": b"221 bye\r\n",
    },
    "imap": {
        b"CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS SASL-IR AUTH=PLAIN\r\n%(tag)b OK done\r\n",
        b"STARTTLS": b"%(tag)b OK go\r\n",
        b"AUTHENTICATE": b"%(tag)b OK in\r\n",
        b"LOGOUT": b"* BYE bye\r\n%(tag)b OK done\r\n",
    },
    "pop": {
        b"CAPA": b"+OK list follows\r\nUSER\r\nSTLS\r\nUIDL\r\n.\r\n",
        b"STLS": b"+OK go\r\n",
        b"USER": b"+OK go on\r\n",
        b"PASS": b"+OK in\r\n",
        b"STAT": b"+OK 0 0\r\n",
        b"QUIT": b"+OK bye\r\n",
    },
}
BEGIN_TLS = {"smtp": b"STARTTLS", "imap": b"STARTTLS", "pop": b"STLS"}
UNKNOWN = {"smtp": b"500 what?\r\n", "imap": b"%(tag)b BAD what?\r\n", "pop": b"-ERR what?\r\n"}


def as_shown(steps: Iterable[Step]) -> bytes:
    """What a transcript shows of all that was sent."""
    sends = [step for step in steps if isinstance(step, Send)]
    for one in sends:
        assert one.hide in one.data
    return b"".join(one.data.replace(one.hide, b"***") if one.hide else one.data for one in sends)


def mail_server(
    kind: str,
    context: ssl.SSLContext | None = None,
    slowly: bool = False,
    after_go: bytes = b"",
    **other: bytes,
) -> Handler:
    """A server in its right mind. context: begins TLS when asked. after_go: what it says in plain with its "go".

    other: answers to commands that differ; b"" ends the connection.
    """
    answers = {**ANSWERS[kind], **{word.encode(): answer for word, answer in other.items()}}

    def say(connection: socket.socket, text: bytes) -> None:
        for piece in [text[at : at + 1] for at in range(len(text))] if slowly else [text]:
            connection.sendall(piece)
            if slowly:
                threading.Event().wait(0.001)

    def talk(connection: socket.socket) -> None:
        while line := line_of(connection):
            words = line.split()
            tag = words.pop(0) if kind == "imap" and words else b""
            word = words[0].upper() if words else b""
            answer = answers.get(word, UNKNOWN[kind])
            begins = context is not None and word == BEGIN_TLS[kind]
            say(connection, (answer % {b"tag": tag}) + (after_go if begins else b""))
            if not answer:
                return None
            if begins:
                assert context is not None
                return over_tls(context, talk)(connection)
        return None

    def handle(connection: socket.socket) -> None:
        say(connection, GREETINGS[kind])
        talk(connection)

    return handle
