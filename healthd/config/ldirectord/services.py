"""What ldirectord asks of a server, in the words of our checks: one function for each service that it knows."""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from shutil import which
from typing import Any
from urllib.parse import quote, urlsplit

from healthd.config.ldirectord.names import Machine
from healthd.config.ldirectord.perl_regex import translate
from healthd.config.ldirectord.values import Virtual

Options = dict[str, Any]

MOST_OF_A_PAGE = 16 * 1024 * 1024
MOST_OF_A_STREAM = 1024 * 1024
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_HOST = re.compile(rf"(?!.{{254}})(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(?::\d{{1,5}})?")
_SIP_ADDRESS = re.compile(r"[!#-;=@-~]+@[!#-;=@-~]+")
_QUOTING = re.compile(r"(?<!\\)(?:\\\\)*(\\[QEULul])")
_CHAIN_ONLY = {"verify_name": False}
_ANY_CERTIFICATE = {"verify": False}
_URL_LETTERS = "!$%&'()*+,-./:;=?@_~"


@dataclass(slots=True)
class Asked:
    """What to ask: the service with the request and receive of one server, or its own. notes: what is not as there.

    told: the directive that a note or a refusal is about, with its text.
    """

    virtual: Virtual
    request: str
    receive: str
    machine: Machine
    strict: bool = False
    url: str | None = None
    notes: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)

    @property
    def bare(self) -> str:
        """The request without the slash that ldirectord puts before every one."""
        return self.request.removeprefix("/")

    def pattern(self, name: str = "expect") -> Options:
        """The regular expression as an option, if there is one."""
        if not self.receive:
            return {}
        try:
            found = translate(self.receive)
        except ValueError as error:
            self.refusals["receive"] = f"receive: {error}"
            return {}
        if quoting := _QUOTING.search(self.receive):
            letter = quoting[1][1]
            self.notes["receive"] = f"receive: {quoting[1]} is the letter {letter} here, as with stock ldirectord"
        return {name: found}

    def login(self) -> Options:
        """User and password, if there is a user."""
        if not self.virtual.login:
            return {}
        return {"user": self.virtual.login, "password": self.virtual.passwd}


def check_of(asked: Asked) -> Options:
    """The check of a service, with its type and the options of that type."""
    virtual = asked.virtual
    match virtual.checktype:
        case "on" | "off" as kind:
            return {"type": kind}
        case "ping":
            return _ping(asked)
        case "connect":
            return {"type": "tcp"} if virtual.protocol != "udp" else _ping(asked)
        case "external":
            return _command(asked, "script")
        case "external-perl":
            return _command(asked, "perl")
        case "combined":
            return _combined(asked)
        case _:
            return _SERVICES[virtual.service](asked)


def _ping(asked: Asked) -> Options:
    if int(asked.virtual.checkcount) > 1:
        asked.notes["checkcount"] = "checkcount: each ping is a probe of its own; failurecount says how many must fail"
    return {"type": "ping"}


def _combined(asked: Asked) -> Options:
    connects, found = int(asked.virtual.num_connects), _SERVICES[asked.virtual.service](asked)
    if found["type"] == "on":
        return {"type": "tcp"}
    if connects and found["type"] not in _STREAMS:
        asked.notes["checktype"] = (
            f"checktype: every probe is a complete one, as {found['type']} knows no connecting alone"
        )
        return found
    return {**found, "connects": connects} if connects else found


_STREAMS = ("tcp", "http", "http_proxy", "smtp", "imap", "pop", "ftp", "nntp", "ldap", "mysql", "pgsql")


def _command(asked: Asked, kind: str) -> Options:
    """A program, or a file of Perl, with arguments of its own before the four that every one gets."""
    text = asked.virtual.checkcommand
    words = [text] if asked.strict or asked.machine.executable(text) else _words(text)
    command = _program(kind, words[0])
    if not command:
        why = f"there is no program {words[0]} in PATH"
        asked.notes["checkcommand"] = f"checkcommand: {why}, so the server is down, as with stock ldirectord"
        return {"type": "off"}
    if len(words) == 1:
        return {"type": kind, "command": command}
    asked.notes["checkcommand"] = "checkcommand: stock ldirectord takes all of it for the name of a file and finds none"
    own = [word.replace("{", "{{").replace("}", "}}") for word in words[1:]]
    return {"type": kind, "command": command, "args": [*own, "{virtual}", "{virtual_port}", "{address}", "{port}"]}


def _program(kind: str, word: str) -> str:
    """Its path as ldirectord finds it, whose daemon works in /; empty if it is to be in PATH and is not."""
    if "/" in word or kind == "perl":
        return word if word.startswith("/") else f"/{word}"
    return which(word) or ""


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text) or [text]
    except ValueError:
        return [text]


def _http(asked: Asked, *, tls: bool = False) -> Options:
    virtual, found = asked.virtual, {"type": "http"}
    url = urlsplit(asked.url) if asked.url is not None else None
    path = asked.request if url is None else (url.path or "/") + (f"?{url.query}" if url.query else "")
    options: Options = {**found, "path": quote(path.partition("#")[0], safe=_URL_LETTERS)}
    if virtual.httpmethod != "GET":
        options["method"] = virtual.httpmethod
    host = (virtual.virtualhost or "").strip()
    if host and not _HOST.fullmatch(host):
        asked.notes["virtualhost"] = f'virtualhost: "{host}" is no name of a host; it is left out'
    elif host:
        options["host"] = host
    elif url is not None and url.hostname and not _is_address(url.hostname):
        options["host"] = url.hostname
    options |= {"redirects": 7}
    if not asked.receive:
        options["redirect_away"] = "pass"
    elif virtual.httpmethod == "HEAD":
        asked.notes["receive"] = "receive: an answer to HEAD has no body; stock ldirectord always finds the server down"
    else:
        options |= {**asked.pattern(), "max_body": MOST_OF_A_PAGE}
    return {**options, "tls": _CHAIN_ONLY} if tls else options


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


def _http_proxy(asked: Asked) -> Options:
    url = asked.bare
    if not url.startswith(("http://", "https://")):
        asked.notes["request"] = "request: no whole URL, so the proxy is only connected to; stock always finds it down"
        return {"type": "tcp"}
    more = {"max_body": MOST_OF_A_PAGE} if asked.receive else {}
    method = {"method": asked.virtual.httpmethod} if asked.virtual.httpmethod != "GET" else {}
    url = quote(url.partition("#")[0], safe=f"{_URL_LETTERS}[]")
    return {"type": "http_proxy", "url": url, **method, "redirects": 7, **asked.pattern(), **more}


def _dns(asked: Asked) -> Options:
    name = asked.bare
    if not name:
        asked.notes["request"] = "request: there is none, so the servers of the root are asked for"
        return {"type": "dns", "name": ".", "record": "NS", **_over_tcp(asked)}
    if not asked.receive:
        asked.notes["receive"] = "receive: any answer passes without it; stock ldirectord always finds the server down"
    record = {"record": "PTR"} if _is_address(name) else {}
    return {"type": "dns", "name": name, **record, **asked.pattern(), **_over_tcp(asked)}


def _over_tcp(asked: Asked) -> Options:
    return {"tcp": True} if asked.virtual.protocol == "tcp" else {}


def _mail(kind: str, *, login: bool, tls: bool = False) -> Callable[[Asked], Options]:
    def form(asked: Asked) -> Options:
        more = asked.login() if login else {}
        if login and not more and kind == "pop":
            asked.notes["service"] = (
                "service: the greeting is looked at; stock ldirectord finds every server up without login"
            )
        return {"type": kind, **more, **({"tls": _CHAIN_ONLY} if tls else {})}

    return form


def _ldap(asked: Asked, *, tls: bool = False) -> Options:
    login = asked.login() if asked.virtual.passwd else {}
    base = {"base": asked.bare} if asked.bare else {}
    more = {"tls": _ANY_CERTIFICATE} if tls else {}
    return {"type": "ldap", **login, **base, **asked.pattern("expect_dn"), **more}


def _nntp(asked: Asked) -> Options:
    return {"type": "nntp"}


def _ftp(asked: Asked) -> Options:
    login = asked.login()
    if not login:
        text = "login: stock ldirectord has none where the port alone implies ftp"
        asked.notes["login"] = f"{text}; healthd takes that of service=ftp"
        password = asked.virtual.passwd or f"ldirectord@{asked.machine.hostname()}"
        login = {"user": "anonymous", "password": password}
    if asked.receive or asked.bare:
        if not asked.receive:
            asked.notes["service"] = (
                "service: the file is retrieved; stock ldirectord finds every server up without receive"
            )
        more = {"max_bytes": MOST_OF_A_PAGE} if asked.receive else {}
        return {"type": "ftp", **login, "file": asked.request, **asked.pattern(), **more}
    asked.notes["service"] = "service: the login is looked at; stock ldirectord finds every server up without receive"
    return {"type": "ftp", **login}


def _simpletcp(asked: Asked) -> Options:
    sent = asked.bare.replace("\\n", "\n")
    wanted = asked.pattern("expect_line")
    if asked.virtual.protocol == "udp":
        return {"type": "udp", "payload": sent, **wanted}
    return {
        "type": "tcp", **({"send": sent} if sent else {}), "half_close": True, **(wanted or {"expect_line": ""}),
        "max_bytes": MOST_OF_A_STREAM,
    }  # fmt: skip


def _sip(asked: Asked) -> Options:
    who = asked.virtual.login.removeprefix("sip:")
    if _SIP_ADDRESS.fullmatch(who):
        return {"type": "sip", "user": who, "caller": who, **_over_tcp(asked)}
    why = f'"{who}" is no user@domain' if who else "stock ldirectord has none where the port alone implies sip"
    asked.notes["login"] = f"login: {why}; healthd asks the server about itself"
    return {"type": "sip", **_over_tcp(asked)}


def _sql(kind: str) -> Callable[[Asked], Options]:
    def form(asked: Asked) -> Options:
        login, query = asked.login(), asked.bare
        if not (login and query):
            what = "login" if query else "request"
            text = "login and request must be given, or stock ldirectord always finds the server down"
            asked.notes[what] = f"{what}: {text}; healthd asks {'whether it answers' if not login else 'SELECT 1'}"
        if asked.receive:
            asked.notes["receive"] = f"receive: it says nothing with service={asked.virtual.service}"
        if not login:
            return {"type": kind}
        database = {"database": asked.virtual.database} if asked.virtual.database else {}
        return {"type": kind, **login, **database, **({"query": query} if query else {})}

    return form


def _oracle(asked: Asked) -> Options:
    found = _sql("oracle")(asked)
    if "user" not in found or "database" not in found:
        asked.notes["database"] = "database: without login and database the server is only connected to"
        return {"type": "tcp"}
    found["sid"] = found.pop("database")
    return found


def _radius(asked: Asked) -> Options:
    if not asked.virtual.secret:
        asked.notes["secret"] = "secret: without it nobody can be asked; as with stock ldirectord the server is down"
        return {"type": "off"}
    return {
        "type": "radius", "secret": asked.virtual.secret, **asked.login(), "message_authenticator": "optional",
    }  # fmt: skip


def _none(asked: Asked) -> Options:
    return {"type": "on"}


_SERVICES: Mapping[str, Callable[[Asked], Options]] = {
    "dns": _dns,
    "ftp": _ftp,
    "http": _http,
    "https": lambda asked: _http(asked, tls=True),
    "http_proxy": _http_proxy,
    "imap": _mail("imap", login=True),
    "imaps": _mail("imap", login=True, tls=True),
    "ldap": _ldap,
    "ldaps": lambda asked: _ldap(asked, tls=True),
    "mysql": _sql("mysql"),
    "nntp": _nntp,
    "none": _none,
    "oracle": _oracle,
    "pop": _mail("pop", login=True),
    "pops": _mail("pop", login=True, tls=True),
    "radius": _radius,
    "pgsql": _sql("pgsql"),
    "simpletcp": _simpletcp,
    "sip": _sip,
    "smtp": _mail("smtp", login=False),
    "submission": _mail("smtp", login=False),
}
