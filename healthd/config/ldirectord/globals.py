"""The global directives."""

from __future__ import annotations

import re
from collections.abc import Mapping

from healthd.config.ldirectord.reals import parse_fallback, resolve_fallback
from healthd.config.ldirectord.words import (
    Around,
    Form,
    Unknown,
    Values,
    Wrong,
    bare,
    between_quotes,
    leading_number,
    mail_server,
    number,
    recipients,
    refused,
    stages,
    yes_or_no,
)
from healthd.model import Family

BARE_SUPERVISED = "please update your config not to use a bare supervised directive"


def _fallback(name: str, family: Family) -> Form:
    def form(value: str, around: Around) -> Values:
        parsed = parse_fallback(value, None)
        return {name: tuple(resolve_fallback(parsed, protocol, family, around.machine) for protocol in ("tcp", "udp"))}

    return form


def _callback(value: str, around: Around) -> Values:
    return {"callback": between_quotes(value)}


def _logfile(value: str, around: Around) -> Values:
    path = between_quotes(value)
    if path.startswith("/") and around.machine.refuses(path.strip(" \t\r\n\f\v")):
        raise Wrong(f"unable to open logfile: {path}")
    return {"logfile": path}


OF_FILE: Mapping[str, Form] = {
    "checktimeout": number("checktimeout", "invalid check timeout value", strictly=True),
    "connecttimeout": refused("connecttimeout directive deprecated in favour of negotiatetimeout"),
    "negotiatetimeout": number("negotiatetimeout", "invalid negotiate timeout value", strictly=True),
    "checkinterval": number("checkinterval", "invalid check interval value"),
    "checkcount": number("checkcount", "invalid check count value"),
    "failurecount": number("failurecount", "invalid failure count value"),
    "fallback": _fallback("fallback", Family.IPV4),
    "fallback6": _fallback("fallback6", Family.IPV6),
    "fallbackcommand": bare("fallbackcommand", "invalid fallback command"),
    "autoreload": yes_or_no("autoreload"),
    "callback": _callback,
    "logfile": _logfile,
    "execute": bare("execute"),
    "fork": yes_or_no("fork"),
    "supervised": yes_or_no("supervised"),
    "quiescent": yes_or_no("quiescent"),
    "readdquiescent": yes_or_no("readdquiescent"),
    "emailalert": recipients,
    "emailalertfreq": leading_number("emailalertfreq", "invalid email alert frequency"),
    "emailalertstatus": stages,
    "emailalertfrom": bare("emailalertfrom", "no email from address specified"),
    "cleanstop": yes_or_no("cleanstop"),
    "smtp": mail_server,
    "maintenancedir": bare("maintenancedir", "maintenance directory not specified"),
    "timeout": refused("timeout directive deprecated in favour of checktimeout and negotiatetimeout"),
}
_ASSIGNED = re.compile(r"([a-z0-9]+)\s*=\s*(.*)", re.ASCII)


def split(text: str) -> tuple[str, str]:
    """A line without its end, as name and value. Raises Unknown."""
    found = _ASSIGNED.match(text)
    if found is None:
        raise Unknown
    return found[1], found[2]


def read_global(text: str, around: Around) -> Values:
    """What a global line says. Raises Wrong or Unknown."""
    if text.startswith("supervised"):
        return _supervised(text)
    name, value = split(text)
    if name not in OF_FILE:
        raise Unknown
    return OF_FILE[name](value, around)


def _supervised(text: str) -> Values:
    """It may stand alone."""
    found = re.match(r"supervised\s*=\s*(.*)", text, re.ASCII)
    if found and found[1] in ("yes", "no"):
        return {"supervised": found[1]}
    if re.fullmatch(r"supervised\s*", text, re.ASCII):
        return {"supervised": "yes"}
    raise Wrong("supervised must be 'yes' or 'no'")
