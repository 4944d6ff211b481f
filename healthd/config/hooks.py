"""The tables [[hook]]: programs and receivers over HTTP that are told of events. `type` says which keys a table has."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from healthd.config import shape
from healthd.config.decode import At, Key, Kind, Layer, Report, Told, Unfit, build, decode, key, keys_of, plain, take
from healthd.config.files import credential, no_program, unfit_certificate, unusable
from healthd.config.kinds import absolute, duration, flag, many, members, path, tables, text, title, whole, words
from healthd.config.schema import ExecHook, Template, Webhook
from healthd.config.tables import Given
from healthd.events import PROBLEMS, RECOVERIES
from healthd.events import Kind as EventKind
from healthd.tls import Tls

SECRET_PREFIX = "whsec_"
SECRET_BYTES = range(24, 65)
MOST_HEADERS = 20
OURS = frozenset({"content-length", "content-type", "host", "transfer-encoding", "user-agent"})
STATEFUL = frozenset({Template.ALERTMANAGER, Template.PAGERDUTY})
"""Templates that tell of what begins and ends, and of nothing else."""

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_CREDENTIAL = re.compile(r"(?!\.)[A-Za-z0-9_.@:-]{1,255}")


# --- kinds ------------------------------------------------------------------------------------------------------


def _url(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
        raise Unfit
    try:
        host_of(value)
    except ValueError:
        raise Unfit from None
    return value


def host_of(url: str) -> str:
    """Host and port of a URL, which is all of it that may be shown. Raises ValueError, without the URL in it."""
    try:
        found = urlsplit(url)
        known = found.scheme in ("http", "https") and found.hostname and (found.port is None or found.port > 0)
    except ValueError:
        known = False
    if not known or found.username is not None or found.password is not None:
        raise ValueError("it is no URL with http or https, a host and no password")
    return _host_and_port(found)


def _host_and_port(url: SplitResult) -> str:
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname or ""
    return host if url.port is None else f"{host}:{url.port}"


def key_of(secret: str) -> bytes:
    """The bytes of a secret as Standard Webhooks writes it. Raises ValueError, without the secret in it."""
    try:
        found = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        found = b""
    if not secret.startswith(SECRET_PREFIX) or len(found) not in SECRET_BYTES:
        raise ValueError(f"expected {SECRET_PREFIX} and base64 of 24 to 64 bytes")
    return found


def _secret(value: object) -> str:
    if not isinstance(value, str):
        raise Unfit
    try:
        key_of(value)
    except ValueError:
        raise Unfit from None
    return value


def _secret_file(value: object) -> str:
    if isinstance(value, str) and _CREDENTIAL.fullmatch(value):
        return value
    return absolute(value)


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or len(value) > MOST_HEADERS:
        raise Unfit
    for name, content in value.items():
        if not _HEADER.fullmatch(name):
            raise Unfit
        if name.lower() in OURS or name.lower().startswith("webhook-"):
            raise ValueError(f"'{name}' is healthd's own to set")
        if not isinstance(content, str) or not content.isascii() or not content.isprintable():
            raise Unfit
    if len({name.lower() for name in value}) < len(value):
        raise ValueError("one of them is there twice, in other letters")
    return tuple(value.items())


URL = plain('a URL such as "https://alerts.example.org/hook", without user and password', _url, schema=shape.text())
SECRET = plain(f'"{SECRET_PREFIX}" and base64 of 24 to 64 bytes', _secret, schema=shape.text(f"{SECRET_PREFIX}.+"))
SECRET_FILE = plain("an absolute path or the name of a systemd credential", _secret_file, schema=shape.text(least=1))
HEADERS = plain('a table of texts such as { "X-Team" = "web" }', _headers, schema=shape.texts())
EVENTS = many(words({kind.value: kind.value for kind in EventKind}), "a list of events")
TYPE: Kind[str] = words({"exec": "exec", "webhook": "webhook"})


# --- tables -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HookTable:
    """A program that is told of events."""

    layer: Layer
    command: tuple[str, ...] = key(
        many(text, "a list of texts: the program and its arguments", least=1, alone=False),
        "the program and its arguments; no shell is involved",
        (),
        required=True,
    )
    type: str = key(TYPE, "kind of hook", "exec", shown='"exec"')
    on: tuple[str, ...] = key(EVENTS, "events to tell; [] for all", (), shown="[]")
    timeout: float = key(duration(0.1), "time after which the program is killed", 10.0, shown='"10s"')
    retries: int = key(whole(0, 100), "attempts after a failed one", 2, shown="2")


@dataclass(frozen=True, slots=True)
class WebhookTable:
    """A receiver that is told of events over HTTP: a hook with `type = "webhook"`."""

    layer: Layer
    type: str = key(TYPE, 'kind of hook: `"webhook"`', required=True)
    name: str | None = key(
        title, "what status and log call it, and what its waiting messages are kept by; default: template and host"
    )
    template: Template = key(members(Template), "what the receiver understands", Template.JSON, shown='"json"')
    url: str | None = key(URL, "where to send; only its host is ever shown. pagerduty has a default", secret=True)
    url_file: str | None = key(SECRET_FILE, "file with the URL, instead of `url`", file="read")
    on: tuple[str, ...] = key(EVENTS, "events to tell; [] for those that the template is for", (), shown="[]")
    group: float = key(
        duration(0, 3600), "time from the first event to the message that tells of all since", 5.0, shown='"5s"'
    )
    per_minute: int = key(
        whole(1, 1000), "most messages within a minute; what is more goes into the next", 20, shown="20"
    )
    timeout: float = key(duration(0.1, 300), "time that the receiver may take", 10.0, shown='"10s"')
    retries: int | None = key(whole(0, 10_000), "attempts after a failed one; default: until an event is a day old")
    secret: str | None = key(SECRET, "key to sign messages with (Standard Webhooks)", secret=True)
    secret_file: str | None = key(SECRET_FILE, "file with that key, instead of `secret`", file="read")
    token_file: str | None = key(
        SECRET_FILE,
        "file with the token to send as `Authorization: Bearer`; of pagerduty the integration key",
        file="read",
    )
    headers: tuple[tuple[str, str], ...] = key(HEADERS, "headers to send as well", (), shown="{}", secret=True)
    verify: bool = key(flag, "verify the receiver's certificate and name", True, shown="true")
    ca_file: str | None = key(path, "PEM file of the authorities to trust; default: the system's", file="read")


TABLES: Mapping[str, type[Any]] = {"exec": HookTable, "webhook": WebhookTable}


def read_hooks(tree: Mapping[str, Any], root: At, report: Report) -> tuple[ExecHook | Webhook, ...]:
    """All hooks of a healthd.toml; what is wrong is reported."""
    try:
        given: Given = take(tables("tables, as in [[hook]]"), tree.get("hook", []), root, "hook", report)
    except Told:
        return ()
    built = [_hook(values, at, report) for at, values in given]
    found = [one for one in built if one is not None]
    _check_names([one for one in found if isinstance(one, WebhookTable)], report)
    return tuple(_settings(one, report) for one in found)


def _hook(values: Mapping[str, Any], at: At, report: Report) -> HookTable | WebhookTable | None:
    kind = values.get("type", "exec")
    table = TABLES.get(kind) if isinstance(kind, str) else None
    if table is None:  # its other keys are of nobody knows what
        decode({"type": Key("type", TYPE, "")}, {"type": kind}, at, report)
        return None
    others = {name: f'a hook of type "{other}"' for other in TABLES if other != kind for name in keys_of(TABLES[other])}
    mine = keys_of(table)
    elsewhere = {name: where for name, where in others.items() if name not in mine}
    found: HookTable | WebhookTable | None = build(table, decode(mine, values, at, report, elsewhere), report)
    return found


def _settings(table: HookTable | WebhookTable, report: Report) -> ExecHook | Webhook:
    return _exec(table, report) if isinstance(table, HookTable) else _webhook(table, report)


def _exec(hook: HookTable, report: Report) -> ExecHook:
    why = no_program(hook.command[0]) if report.strict_files else ""
    if why:
        report.error(hook.layer.where("command") / 0, f"command: {why}", found=hook.command[0])
    place = hook.layer.at.source.place(hook.layer.at.path)
    return ExecHook(hook.command, frozenset(hook.on), hook.timeout, hook.retries, place)


# --- webhooks ---------------------------------------------------------------------------------------------------

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"


def _webhook(table: WebhookTable, report: Report) -> Webhook:
    for name, why in _misfits(table):
        report.error(table.layer.where(name), f"{name}: {why}", on_key=True)
    _check_events(table, report)
    if report.strict_files:
        _check_files(table, report)
    return Webhook(
        name=_name(table),
        template=table.template,
        url=_address(table),
        url_file=_file(table.url_file),
        on=frozenset(table.on),
        timeout=table.timeout,
        retries=table.retries,
        group=table.group,
        per_minute=table.per_minute,
        secret=table.secret,
        secret_file=_file(table.secret_file),
        token_file=_file(table.token_file),
        headers=table.headers,
        verify=table.verify,
        ca_file=_file(table.ca_file),
        place=table.layer.at.source.place(table.layer.at.path),
    )


def _file(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _address(table: WebhookTable) -> str | None:
    usual = PAGERDUTY if table.template is Template.PAGERDUTY and table.url_file is None else None
    return table.url if table.url is not None else usual


def _name(table: WebhookTable) -> str:
    url = _address(table)
    return table.name or f"{table.template.value} {host_of(url) if url else Path(table.url_file or '').name}".strip()


def _misfits(table: WebhookTable) -> Iterator[tuple[str, str]]:
    """Keys that do not go together, each with why."""
    bad = table.layer.bad
    if _address(table) is None and table.url_file is None and not bad & {"url", "url_file", "template"}:
        yield "type", "a webhook needs key 'url' or 'url_file'"
    for name in ("url", "secret"):
        if getattr(table, name) is not None and getattr(table, f"{name}_file") is not None:
            yield f"{name}_file", f"it is given already, by key '{name}'"
    if table.template is Template.PAGERDUTY and table.token_file is None and "token_file" not in bad:
        yield "template", "pagerduty needs key 'token_file', with the integration key"
    if table.template is Template.NTFY and table.url and len(urlsplit(table.url).path.strip("/").split("/")[0]) == 0:
        yield "url", "of ntfy it ends with the topic, as in https://ntfy.example.org/alerts"
    if table.token_file is not None and any(name.lower() == "authorization" for name, _ in table.headers):
        yield "headers", "Authorization is given already, by key 'token_file'"


def _check_events(table: WebhookTable, report: Report) -> None:
    """Whether the template can tell of these events."""
    if table.template not in STATEFUL:
        return
    known = [kind.value for kind in (*PROBLEMS, *RECOVERIES)]
    unknown = [kind for kind in table.on if kind not in known]
    if unknown:
        text = f"on: {table.template.value} is told of what begins and ends, which '{unknown[0]}' does not"
        report.error(table.layer.where("on"), text, expected=", ".join(known), found=unknown[0])


def _check_names(hooks: list[WebhookTable], report: Report) -> None:
    first: dict[str, WebhookTable] = {}
    for one in hooks:
        name = _name(one)
        if name in first:
            what = "name" if one.name else "type"
            remedy = "" if one.name else "; give it a 'name'"
            text = f"{what}: a second webhook named '{name}'{remedy}"
            report.error(one.layer.where(what), text, on_key=what == "type")
        first.setdefault(name, one)


def _check_files(table: WebhookTable, report: Report) -> None:
    """Whether the files are there. A credential is there only where systemd gives it, so nobody else can tell."""
    for name, one in keys_of(WebhookTable).items():
        found = credential(Path(getattr(table, name))) if one.file and getattr(table, name) is not None else None
        why = unusable(str(found), one.file or "") if found is not None else ""
        if why:
            report.error(table.layer.where(name), f"{name}: {why}")
        elif name == "ca_file" and found is not None and (unfit := unfit_certificate(Tls(ca_file=str(found)))):
            report.error(table.layer.where(unfit[0]), f"{unfit[0]}: {unfit[1]}")
