"""The directives of a virtual service."""

from __future__ import annotations

import re
from collections.abc import Mapping

from healthd.config.ldirectord.reals import parse_fallback
from healthd.config.ldirectord.words import (
    Around,
    Form,
    Values,
    Wrong,
    bare,
    between_quotes,
    leading_number,
    mail_server,
    number,
    quoted,
    quotes_optional,
    recipients,
    refused,
    stages,
    yes_or_no,
)
from healthd.model import Family

CHECKTYPES = ("connect", "negotiate", "ping", "off", "on", "external", "external-perl")
SERVICES = (
    "dns", "ftp", "http", "https", "http_proxy", "imap", "imaps", "ldap", "ldaps", "mysql", "nntp", "none", "oracle",
    "pop", "pops", "radius", "pgsql", "simpletcp", "sip", "smtp", "submission",
)  # fmt: skip
SERVERS = ("real", "real6")
_WORD = re.compile(r"\w+", re.ASCII)


def _request(value: str, around: Around) -> Values:
    text = between_quotes(value)
    if not text:
        raise Wrong("no request string specified")
    return {"request": with_slash(text)}


def with_slash(request: str) -> str:
    """A request as ldirectord keeps it: whatever it is for, it begins with a slash."""
    return request if request.startswith("/") else f"/{request}"


def _checktype(value: str, around: Around) -> Values:
    digits = re.search(r"\d+", value, re.ASCII)
    if digits:
        return {"checktype": "combined", "num_connects": digits[0]}
    word = re.search(r"[\w-]+", value, re.ASCII)
    if word is None or word[0] not in CHECKTYPES:
        names = '"connect", "negotiate", "on", "off", "ping", "external", "external-perl"'
        raise Wrong(f"checktype must be {names} or a positive number")
    return {"checktype": word[0]}


def _checkport(value: str, around: Around) -> Values:
    digits = re.search(r"\d+", value, re.ASCII)
    if digits is None:
        raise Wrong("invalid port")
    if not 0 < int(digits[0]) < 65536:
        raise Wrong("checkport must be in range 1..65536")
    return {"checkport": digits[0]}


def _load(value: str, around: Around) -> Values:
    word = _WORD.search(between_quotes(value))
    if word is None:
        raise Wrong("invalid string for load testing")
    return {"load": word[0]}


def _scheduler(value: str, around: Around) -> Values:
    word = re.search(r"[a-z]+", value)
    if word is None:
        raise Wrong("invalid scheduler, should be only lowercase letters (a-z)")
    return {"scheduler": word[0]}


def _schedflags(value: str, around: Around) -> Values:
    word = re.search(r"\S+", value, re.ASCII)
    if word is None:
        raise Wrong("invalid sched-flags")
    return {"schedflags": word[0]}


def _netmask(value: str, around: Around) -> Values:
    if around.family is Family.IPV6:
        if not re.fullmatch(r"\d+", value, re.ASCII) or not 1 <= int(value) <= 128:
            raise Wrong("invalid netmask: a prefix length between 1 and 128 is required")
    elif not re.fullmatch(r"\d+\.\d+\.\d+\.\d+", value, re.ASCII):
        raise Wrong("invalid netmask: dotted quad notation is required")
    return {"netmask": value}


def _protocol(value: str, around: Around) -> Values:
    word = _WORD.search(value)
    if word is None:
        raise Wrong("invalid protocol")
    if around.mark and word[0] != "fwm":
        raise Wrong("protocol must be fwm if the virtual service is a fwmark (a number)")
    if not around.mark and word[0] not in ("tcp", "udp"):
        raise Wrong("protocol must be tcp or udp if the virtual service is an address and port")
    return {"protocol": word[0]}


def _service(value: str, around: Around) -> Values:
    word = _WORD.search(value)
    if word is None or word[0] not in SERVICES:
        raise Wrong(f"service must be {', '.join(SERVICES[:-1])} or {SERVICES[-1]}")
    found = {"service": word[0]}
    ours = f"ldirectord@{around.machine.hostname()}"
    if word[0] in ("ftp", "sip") and not around.login:
        found["login"] = "anonymous" if word[0] == "ftp" else ours
    if word[0] == "ftp" and not around.passwd:
        found["passwd"] = ours
    return found


def _httpmethod(value: str, around: Around) -> Values:
    word = _WORD.search(value)
    if word is None or word[0].upper() not in ("GET", "HEAD"):
        raise Wrong("httpmethod must be GET or HEAD")
    return {"httpmethod": word[0].upper()}


def _virtualhost(value: str, around: Around) -> Values:
    found = re.match(r'"?([^"]*)"?', value)
    return {"virtualhost": found[1] if found else ""}


def _fallback(value: str, around: Around) -> Values:
    return {"fallback": parse_fallback(value, around.port)}


def _monitorfile(value: str, around: Around) -> Values:
    path = quotes_optional(value)
    why = around.machine.refuses(path.strip(" \t\r\n\f\v"))
    if why:
        raise Wrong(f"unable to open monitorfile {path}: {why}")
    return {"monitorfile": path}


OF_VIRTUAL: Mapping[str, Form] = {
    "request": _request,
    "receive": quoted("receive", "invalid receive string"),
    "checktype": _checktype,
    "checkcommand": bare("checkcommand", "invalid check command", unquote=True),
    "checktimeout": number("checktimeout", "invalid check timeout"),
    "connecttimeout": refused("connecttimeout directive deprecated in favour of negotiatetimeout"),
    "negotiatetimeout": number("negotiatetimeout", "invalid negotiate timeout"),
    "checkcount": number("checkcount", "invalid check count"),
    "failurecount": number("failurecount", "invalid failure count"),
    "checkinterval": number("checkinterval", "invalid checkinterval"),
    "checkport": _checkport,
    "login": quoted("login", "invalid login string"),
    "passwd": quoted("passwd", "invalid password"),
    "database": quoted("database", "invalid database"),
    "secret": quoted("secret", "invalid secret"),
    "load": _load,
    "scheduler": _scheduler,
    "persistent": number("persistent", "invalid persistent timeout", zero=True),
    "schedflags": _schedflags,
    "netmask": _netmask,
    "protocol": _protocol,
    "ops": yes_or_no("ops"),
    "service": _service,
    "httpmethod": _httpmethod,
    "virtualhost": _virtualhost,
    "fallback": _fallback,
    "fallback6": _fallback,
    "fallbackcommand": bare("fallbackcommand", "invalid fallback command", unquote=True),
    "quiescent": yes_or_no("quiescent"),
    "emailalert": recipients,
    "emailalertfreq": leading_number("emailalertfreq", "invalid email alert frequency"),
    "emailalertstatus": stages,
    "monitorfile": _monitorfile,
    "cleanstop": yes_or_no("cleanstop"),
    "smtp": mail_server,
    "servicename": bare("servicename"),
    "comment": bare("comment"),
}
"""Every directive of a virtual service but the servers themselves, which are looked at when the block is complete."""


def wrong_family(name: str, family: Family) -> str:
    """The words of ldirectord for a server of the other family; empty if it is none."""
    stem = name.removesuffix("6")
    right = stem + ("6" if family is Family.IPV6 else "")
    return "" if name == right else f'cannot specify "{name}" here.  please use "{right}" instead'
