"""Virtual services of the configuration, each with the rules that tie its keys together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from healthd.config import checks, dests, virtual
from healthd.config.checks import Shared
from healthd.config.decode import At, Layer, Report, decode, keys_of
from healthd.config.defaults import Defaults
from healthd.config.files import unappendable
from healthd.config.mail import read_mail
from healthd.config.schema import RealServer, ServiceConfig
from healthd.config.tables import ELSEWHERE_OF_SERVICE, ServiceTable
from healthd.model import Forwarding


def read_service(
    given: Mapping[str, Any], at: At, defaults: Defaults, report: Report, shared: Shared
) -> ServiceConfig | None:
    """One [[service]], with what is wrong with it reported; None if nothing identifies it."""
    layer = decode(keys_of(ServiceTable), given, at, report, ELSEWHERE_OF_SERVICE)
    layer = layer.over(defaults.service)
    table = ServiceTable(layer, **layer.values)
    key, spec = virtual.read_key(table, report), virtual.read_spec(table, report)
    declared = checks.declare(table.check, defaults.check, report)
    frame = dests.Frame(table, key, declared, tuple(checks.ready(one, report, shared) for one in declared), defaults)
    reals = dests.read_reals(frame, report, shared)
    fallback = dests.read_fallback(frame, {real.key for real in reals}, report)
    _remark(table, reals, report)
    if key is None:
        return None
    return ServiceConfig(
        name=table.name or virtual.name_of(key),
        key=key,
        spec=shared.one(spec),
        reals=reals,
        on_failure=table.on_failure,
        fallback=fallback,
        admin=table.admin,
        on_stop=table.on_stop,
        fallback_command=table.fallback_command,
        fallback_command_at_stop=table.fallback_command_at_stop,
        monitor_file=Path(table.monitor_file) if table.monitor_file else None,
        title=table.title,
        comment=table.comment,
        maintenance=_maintenance(table, defaults.maintenance),
        keep_usable=table.keep_usable,
        mail=shared.one(read_mail(table.mail, defaults.mail, report)),
        place=at.source.place(at.path),
    )


def _maintenance(table: ServiceTable, daemon: Layer) -> Path | None:
    folder = daemon.values.get("folder") if table.maintenance is None else table.maintenance
    return Path(folder) if folder else None


def _remark(table: ServiceTable, reals: tuple[RealServer, ...], report: Report) -> None:
    """Say what is allowed but hardly meant, what only shows once all servers are known, and what is not there."""
    at, bad = table.layer.at, table.layer.bad
    if not table.real and "real" not in bad:
        if "real" in table.layer.values:  # real = [] is said on purpose
            report.warning(at, "the service has no real server", on_key=True)
        else:
            text = "the service has no real server; add [[service.real]]"
            report.error(at, text, on_key=True, expected="[[service.real]]")
    why = unappendable(table.monitor_file) if table.monitor_file and report.strict_files else ""
    if why:
        report.error(table.layer.where("monitor_file"), f"monitor_file: {why}")
    tunnels = any(real.spec.forwarding is Forwarding.IPIP for real in reals) or table.forward is Forwarding.IPIP
    if table.tunnel is not None and not tunnels and "tunnel" not in table.layer.origins and "forward" not in bad:
        report.error(at / "tunnel", 'tunnel: only for servers with forward = "ipip"')
    if reals and not table.check and "check" not in bad and not any(real.checks for real in reals):
        report.warning(at, "the service has no check: its servers always count as up", on_key=True)
    if reals and not any(real.spec.weight for real in reals):
        report.warning(at, "every real server has weight 0: none will take new connections", on_key=True)
