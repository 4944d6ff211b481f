"""smtp, submission, pop, pops, imap, imaps and nntp: ldirectord's checks beside ours."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from tests.checks.beside.cases import (
    SOON,
    certified_otherwise,
    compare,
    down,
    hanging,
    named_otherwise,
    needs_ldirectord,
    nobody,
    only_ours,
    only_theirs,
    unanswered,
    up,
)
from tests.checks.servers_mail import dovecot, postfix
from tests.checks.servers_nntp import news
from tests.support.servers import line_of, over_tls, serving

pytestmark = [pytest.mark.real, needs_ldirectord]
JOE, ANN, RIGHT, WRONG = 'login = "joe"', 'login = "ann"', 'passwd = "sec"ret"', 'passwd = "wrong"'
POP_ANSWERS = {b"CAPA\r\n": b"+OK\r\nUSER\r\n.\r\n", b"STAT\r\n": b"+OK 0 0\r\n"}


def test_smtp_and_nntp(tmp_path):
    smtp, submission, nntp = "service = smtp", "service = submission", "service = nntp"
    with dovecot() as users, postfix(users) as mail, news() as served, nobody() as ports:
        cases = [
            up("it greets", mail.smtp, smtp),
            up("submission", mail.submission, submission),
            down("it turns everybody away", mail.rejecting, smtp),
            down("it is a server of IMAP", users.imap, smtp),
            *unanswered(ports, smtp),
            *unanswered(ports, submission),
            up("news", served.plain, nntp),
            up("news that nobody may post", served.reading, nntp),
            down("IMAP is no news", users.imap, nntp),
            only_theirs("B25", "SMTP is no news", mail.smtp, nntp),
            *unanswered(ports, nntp),
        ]
        compare(tmp_path, cases)


def pop_server(connection: socket.socket) -> None:
    """It greets, and lets in everybody."""
    connection.sendall(b"+OK ready\r\n")
    while line := line_of(connection):
        connection.sendall(POP_ANSWERS.get(line, b"+OK\r\n"))


def test_pop(tmp_path):
    pop, pops = "service = pop", "service = pops"
    with (
        dovecot() as users,
        postfix(users) as mail,
        nobody() as ports,
        serving(over_tls(named_otherwise(users.certified.authority), pop_server)) as other,
        serving(over_tls(certified_otherwise(), pop_server)) as stranger,
    ):
        cases = [
            up("it greets", users.pop, pop),
            up("joe logs in", users.pop, pop, JOE, RIGHT),
            down("a wrong password", users.pop, pop, JOE, WRONG),
            down("nobody of that name", users.pop, pop, ANN, RIGHT),
            down("a login to a server of SMTP", mail.smtp, pop, JOE, RIGHT),
            only_theirs("B5", "a server of SMTP", mail.smtp, pop),
            only_theirs("B5", "nothing listens", ports.refusing, pop),
            down("nothing listens for a login", ports.refusing, pop, JOE, RIGHT),
            hanging(ports.silent, pop),
            hanging(ports.silent, pop, JOE, RIGHT),
            up("over TLS", users.pops, pops, JOE, RIGHT),
            only_ours("B28", "over TLS by another name", other.port, pops, JOE, RIGHT),
            down("a wrong password over TLS", users.pops, pops, JOE, WRONG),
            down("over TLS with a stranger's certificate", stranger.port, pops, JOE, RIGHT),
            *unanswered(ports, pops, JOE, RIGHT),
        ]
        compare(tmp_path, cases, SSL_CERT_FILE=str(users.certified.folder / "ca.pem"))


def test_imap(tmp_path, network):
    """With ldirectord, every server of IMAP has port 143, or 993 (B9)."""
    network.call(_imap, tmp_path)


def _imap(folder: Path) -> None:
    imap, imaps = "service = imap", "service = imaps"
    with dovecot(143, 993, 110, 995) as users, nobody() as ports, contextlib.ExitStack() as silent:
        for port in (143, 993):
            silent.enter_context(socket.create_server(("127.0.0.2", port)))
        cases = [
            up("it greets", 143, imap),
            up("joe logs in", 143, imap, JOE, RIGHT),
            down("a wrong password", 143, imap, JOE, WRONG),
            down("nobody of that name", 143, imap, ANN, RIGHT),
            down("nothing listens", 143, imap, address="127.0.0.3"),
            down("it says nothing", 143, imap, address="127.0.0.2", timeout=SOON),
            only_theirs("B9", "nothing listens at another port", ports.refusing, imap),
            up("over TLS", 993, imaps, JOE, RIGHT),
            down("a wrong password over TLS", 993, imaps, JOE, WRONG),
            down("nothing listens for TLS", 993, imaps, address="127.0.0.3"),
            down("nothing is said over TLS", 993, imaps, address="127.0.0.2", timeout=SOON),
        ]
        compare(folder, cases, SSL_CERT_FILE=str(users.certified.folder / "ca.pem"))
        compare(folder, [down("a stranger's certificate", 993, imaps)])
