"""Mail of a service: what it says itself, laid over what the daemon says, with the rules that tie the keys together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from healthd.config.decode import At, Layer, Report, decode, field_of, keys_of
from healthd.config.files import unfit_certificate, unusable
from healthd.config.schema import MailSettings, MailTls
from healthd.config.tables import MailTable
from healthd.tls import Tls

LIBRARY = "aiosmtplib"
MAILER = "/usr/sbin/sendmail"
OF_SERVER = ("tls", "verify", "ca_file", "username", "password", "password_file")
"""Keys that belong to `server`: whoever names another server does not send it the password of this one."""


def read_mail(given: tuple[At, Mapping[str, Any]] | None, daemon: Layer, report: Report) -> MailSettings:
    """What a service says of mail, laid over what the daemon says."""
    layer = daemon
    if given is not None:
        at, values = given
        own = decode(keys_of(MailTable), values, at, report)
        layer = own.over(_without_server(daemon) if "server" in own.values else daemon)
    table = MailTable(layer, **{field_of(name): value for name, value in layer.values.items()})
    _check(table, report)
    return MailSettings(
        to=table.to,
        sender=table.from_,
        server=table.server,
        reminder=table.reminder,
        during=frozenset(table.during),
        tls=table.tls,
        verify=table.verify,
        ca_file=_file(table.ca_file),
        username=table.username,
        password=table.password,
        password_file=_file(table.password_file),
    )


def _without_server(daemon: Layer) -> Layer:
    values = {name: value for name, value in daemon.values.items() if name not in OF_SERVER}
    return Layer(daemon.at, values, daemon.bad - frozenset(OF_SERVER), daemon.origins)


def _file(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _check(table: MailTable, report: Report) -> None:
    for name, why in _misfits(table):
        report.error(table.layer.where(name), f"{name}: {why}", on_key=True)
    if table.username is not None and table.tls is MailTls.NONE:
        report.warning(table.layer.where("tls"), 'tls: with "none" the password is sent as it is')
    if report.strict_files and table.to:
        _check_machine(table, report)


def _misfits(table: MailTable) -> Iterator[tuple[str, str]]:
    """Keys that do not go together, each with why."""
    if table.server is None and "server" not in table.layer.bad:
        yield from ((name, "only with key 'server'") for name in OF_SERVER if _differs(table, name))
        return
    if table.password is not None and table.password_file is not None:
        yield "password_file", "the password is given already, by key 'password'"
    secret = table.password is not None or table.password_file is not None
    unread = table.layer.bad & {"username", "password", "password_file"}
    if secret and table.username is None and not unread:
        yield ("password" if table.password is not None else "password_file"), "needs key 'username'"
    if table.username is not None and not secret and not unread:
        yield "username", "needs key 'password' or 'password_file'"


def _differs(table: MailTable, name: str) -> bool:
    """Whether a key says something else than it would unsaid."""
    return bool(getattr(table, name) != getattr(MailTable(table.layer), name))


def _check_machine(table: MailTable, report: Report) -> None:
    """Whether this machine has what the mail needs."""
    if table.server is None:
        if "server" not in table.layer.bad and not os.access(MAILER, os.X_OK):
            text = f"to: there is no {MAILER} on this machine to give mail to; install a mailer or name a 'server'"
            report.warning(table.layer.where("to"), text)
        return
    if find_spec(LIBRARY) is None:
        text = f"server: mail by SMTP needs the Python module '{LIBRARY}', which is not installed here"
        report.error(table.layer.where("server"), f"{text} (is it in an extra such as healthd[mail]?)")
    for name, why in _unusable(table):
        report.error(table.layer.where(name), f"{name}: {why}")


def _unusable(table: MailTable) -> Iterator[tuple[str, str]]:
    """Files that cannot be used, each with why."""
    for name, one in keys_of(MailTable).items():
        path = getattr(table, field_of(name))
        why = unusable(path, one.file) if one.file and path is not None else ""
        if why:
            yield name, why
        elif name == "ca_file" and path is not None and (found := unfit_certificate(Tls(ca_file=path))):
            yield found
