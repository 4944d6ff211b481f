"""http, https, http_proxy, ftp and simpletcp: ldirectord's checks beside ours."""

from __future__ import annotations

import socket

import pytest

from tests.checks.beside.cases import (
    SOON,
    certified_otherwise,
    compare,
    down,
    named_otherwise,
    needs_ldirectord,
    nobody,
    only_ours,
    only_theirs,
    unanswered,
    up,
)
from tests.checks.servers import nginx
from tests.checks.servers_ftp import vsftpd
from tests.checks.servers_tinyproxy import tinyproxy
from tests.support.servers import answering, line_of, over_tls, serving

pytestmark = [pytest.mark.real, needs_ldirectord]
HEALTHZ, NONE, ALIVE, DEAD, HEAD = (
    'request = "healthz"', 'request = "none"', 'receive = "^alive$"', 'receive = "dead"', "httpmethod = HEAD",
)  # fmt: skip
LONG = 'receive = "(?:0123456789abcdef){40000}"'


def pong(connection: socket.socket) -> None:
    """Three lines for a line, of which the last has no end; a long one if that is asked for, and another for none."""
    answers = {b"": b"bye\n", b"long\n": b"0123456789abcdef" * 40000 + b"\n"}
    connection.sendall(answers.get(line_of(connection), b"pong\r\nready\nlast"))


def whole_page(connection: socket.socket) -> None:
    """An answer of HTTP."""
    line_of(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nalive\n")


def test_http(tmp_path):
    http, agent = "service = http", 'request = "agent"'
    with nginx() as web, serving(pong) as stranger, nobody() as ports:
        port = web.http
        own = f'1 "http://127.0.0.1:{port}/healthz","alive"'
        cases = [
            down("no request", port, http),
            up("the page", port, http, HEALTHZ),
            up("the page says so", port, http, HEALTHZ, ALIVE),
            down("it says something else", port, http, HEALTHZ, DEAD),
            down("in other letters", port, http, HEALTHZ, 'receive = "ALIVE"'),
            up("in whatever letters", port, http, HEALTHZ, 'receive = "(?i)ALIVE"'),
            down("no such page", port, http, NONE),
            down("a page of an error", port, http, NONE, 'receive = "404"'),
            down("busy", port, http, 'request = "busy"'),
            down("a password is wanted", port, http, 'request = "private"'),
            up("it moved", port, http, 'request = "old"', ALIVE),
            down("it moves for ever", port, http, 'request = "round"'),
            up("in chunks", port, http, 'request = "chunked.html"', 'receive = "chunks</html>"'),
            up("a long one", port, http, 'request = "big"', LONG),
            up("a host", port, http, agent, "virtualhost = www.test", r'receive = "\|www\.test\|GET"'),
            up("the server as the host", port, http, agent, r'receive = "\|127\.0\.0\.1\|GET"'),
            up("HEAD", port, http, HEALTHZ, HEAD),
            down("HEAD of nothing", port, http, NONE, HEAD),
            only_ours("B23", "HEAD and a page", port, http, HEALTHZ, ALIVE, HEAD, warning="an answer to HEAD"),
            up("a request of its own", port, http, NONE, real='1 "healthz","alive"'),
            down("an answer of its own", port, http, HEALTHZ, real='1 "healthz","dead"'),
            up("a URL of its own", ports.refusing, http, real=own),
            up("a port of its own", ports.refusing, http, HEALTHZ, f"checkport = {port}"),
            only_theirs("B27", "it speaks no HTTP", stranger.port, http),
            down("it speaks TLS", web.https, http, HEALTHZ),
            *unanswered(ports, http, HEALTHZ),
        ]
        compare(tmp_path, cases)


REQUESTS = (
    "", "/", "x", "//x", "a/b", "a//b", "a/../b", "a?b=c&d=e", "a?b?c", "a b", "a%20b", "a%zb", "a+b", "a~b", "a|b",
    "a<b>", "a{b}", "a[b]", "a\\b", "a^b", "a`b", "a;b=c", "a:b", "a@b", "a'b", "a*b", "a$b", "a\"b", "grün",
)  # fmt: skip


def test_the_same_is_asked_of_a_web_server(tmp_path):
    """... whatever letters there are in a request; who asks is told by the line of the agent, which by the host."""
    asked: dict[str, dict[bool, bytes]] = {}

    def record(connection: socket.socket) -> None:
        head = [line_of(connection)]
        while head[-1] not in (b"\r\n", b""):
            head.append(line_of(connection))
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head[1:])}
        asked.setdefault(fields[b"host"].decode(), {})[b"libwww" in fields[b"user-agent"]] = head[0]
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with serving(record) as web:
        hosts = {f"h{number}.test": request for number, request in enumerate(REQUESTS)}
        lines = {host: (f'request = "{request}"',) * bool(request) for host, request in hosts.items()}
        cases = [
            up(repr(hosts[host]), web.port, "service = http", f"virtualhost = {host}", *lines[host]) for host in hosts
        ]
        compare(tmp_path, cases)
    assert len(asked) == len(REQUESTS)
    assert {hosts[host]: both for host, both in asked.items() if both[True] != both[False]} == {}


def test_https(tmp_path):
    https = "service = https"
    with (
        nginx() as web,
        nobody() as ports,
        serving(over_tls(named_otherwise(web.certified.authority), whole_page)) as other,
        serving(over_tls(certified_otherwise(), whole_page)) as stranger,
    ):
        cases = [
            up("it has another name", other.port, https, ALIVE),
            down("a stranger certified it", stranger.port, https, ALIVE),
            up("the page says so", web.https, https, HEALTHZ, ALIVE),
            down("it says something else", web.https, https, HEALTHZ, DEAD),
            down("it speaks no TLS", web.http, https, HEALTHZ),
            down("it wants a certificate", web.mutual, https, HEALTHZ),
            *unanswered(ports, https, HEALTHZ),
        ]
        compare(tmp_path, cases, SSL_CERT_FILE=str(web.certified.folder / "ca.pem"))


def test_http_proxy(tmp_path):
    proxy = "service = http_proxy"
    with nginx() as web, tinyproxy(web, login="") as opened, tinyproxy(web) as closed, nobody() as ports:
        page, none, old = (f'request = "http://127.0.0.1:{web.http}/{name}"' for name in ("healthz", "none", "old"))
        port = opened.port
        cases = [
            up("the page", port, proxy, page),
            up("the page says so", port, proxy, page, ALIVE),
            down("it says something else", port, proxy, page, DEAD),
            down("no such page", port, proxy, none),
            down("no such server", port, proxy, f'request = "http://127.0.0.1:{ports.refusing}/"'),
            down("a way that is forbidden", port, proxy, 'request = "http://forbidden.test/"'),
            up("it moved", port, proxy, old, ALIVE),
            down("it wants a login", closed.port, proxy, page),
            up("HEAD", port, proxy, page, HEAD),
            only_ours("B23", "no whole URL", port, proxy, HEALTHZ, warning="no whole URL"),
            *unanswered(ports, proxy, page),
        ]
        compare(tmp_path, cases)


def test_ftp(tmp_path):
    ftp, motd, fox = "service = ftp", 'request = "pub/motd.txt"', 'receive = "fox$"'
    with vsftpd() as served, nobody() as ports:
        port = served.plain
        cases = [
            up("the file is there", port, ftp, motd, fox),
            up("its name with a slash", port, ftp, 'request = "/pub/motd.txt"', fox),
            down("it says something else", port, ftp, motd, 'receive = "dog"'),
            down("there is no such file", port, ftp, 'request = "pub/none"', fox),
            down("it is empty", port, ftp, 'request = "pub/empty"', fox),
            up("a long one", port, ftp, 'request = "pub/big"', LONG),
            down("the login is refused", port, ftp, 'passwd = "banned"', motd, fox),
            down("an unknown user", port, 'login = "ann"', 'passwd = "x"', ftp, motd, fox),
            up("nothing to receive", port, ftp, motd),
            only_theirs("B5", "nothing to receive of no file", port, ftp, 'request = "none"'),
            only_theirs("B5", "nothing to receive of nobody", ports.refusing, ftp),
            up("by the port of the service alone", port, motd, fox, virtual="192.0.2.1:21"),
            *unanswered(ports, ftp, motd, fox),
        ]
        compare(tmp_path, cases)


def test_simpletcp(tmp_path):
    tcp, udp = ("service = simpletcp", "protocol = tcp"), ("service = simpletcp", "protocol = udp")
    page, ping, over_udp = r'request = "GET /healthz HTTP/1.0\n\n"', r'request = "ping\n"', 'request = "ping"'
    two_lines = answering(lambda _: [b"pong\nand more\n"])
    with nginx() as web, serving(pong) as lines, two_lines as datagrams, nobody() as ports:
        cases = [
            up("a page", web.http, *tcp, page, ALIVE),
            up("its status", web.http, *tcp, page, 'receive = "200 OK"'),
            down("another page", web.http, *tcp, page, DEAD),
            up("a long one", lines.port, *tcp, r'request = "long\n"', LONG),
            down("in two lines", web.http, *tcp, page, r'receive = "OK\r\nServer"'),
            up("a line", lines.port, *tcp, ping, 'receive = "^pong"'),
            down("what stands before its end", lines.port, *tcp, ping, 'receive = "^pong$"'),
            up("the second line", lines.port, *tcp, ping, 'receive = "^ready$"'),
            up("a line without end", lines.port, *tcp, ping, r'receive = "^last\z"'),
            up("nothing is sent", lines.port, *tcp, 'receive = "^bye"'),
            up("nothing is wanted", lines.port, *tcp, 'request = "x"'),
            only_ours("B26", "nothing is wanted for a line", lines.port, *tcp, ping),
            *unanswered(ports, *tcp, ping, 'receive = "pong"'),
            up("over UDP", datagrams.port, *udp, over_udp, 'receive = "^pong$"'),
            up("the second line over UDP", datagrams.port, *udp, over_udp, 'receive = "^and more$"'),
            down("something else over UDP", datagrams.port, *udp, over_udp, 'receive = "pang"', timeout=SOON),
            *unanswered(ports, *udp, over_udp, 'receive = "pong"'),
        ]
        compare(tmp_path, cases)
