"""The stock values of a file as the tables of a healthd.toml, with the places in the .cf that they come from."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from healthd.config.addresses import prefix
from healthd.config.kinds import MAX_U32, mailbox, sender
from healthd.config.ldirectord.names import Machine
from healthd.config.ldirectord.planting import Table, Tree, bounded, fits, table
from healthd.config.ldirectord.rows import put_fallback, put_reals
from healthd.config.ldirectord.values import Globals, Stages, Stock, Virtual
from healthd.config.problems import Span
from healthd.config.settings import FACILITIES
from healthd.config.tables import MAX_PERSISTENCE, SCHEDULER_FLAGS
from healthd.model import Family

LONGEST_TITLE = 100
_QUIET = {
    "fork": "fork: probes are parallel anyway, and each virtual keeps its own checkinterval",
    "readdquiescent": "readdquiescent: a failed server's row always has weight 0 with quiescent=yes, and nothing is "
    "put into service before its first pass",
    "supervised": "supervised: `healthd run` stays in the foreground, and logs to standard error",
    "checkcount": "checkcount: it says nothing but for checktype=ping",
}


def tree_of(stock: Stock, machine: Machine, main: Globals | None = None, *, strict: bool = False) -> Tree:
    """The tables of a file. main: the global directives of the file that executes this one; then services alone."""
    tree = Tree()
    if main is None:
        _settings(stock.globals, machine, tree)
    services: list[dict[str, Any]] = []
    for virtual in stock.virtuals:
        span = virtual.where.get("virtual", Span())
        if why := _impossible(virtual):
            tree.note(
                span, f"{why}, so stock ldirectord never has this virtual in the table, and healthd leaves it out"
            )
            continue
        services.append({})
        at = table(tree, ("service", len(services) - 1), span, services[-1])
        _service(at, virtual, stock.globals, machine, strict=strict)
        _mail_of_service(at, virtual, stock.globals, main)
        if main is not None and stock.globals.maintenancedir != main.maintenancedir:
            at.put("maintenance", _absolute(stock.globals.maintenancedir or ""), span)
        put_reals(at, virtual, machine, stock.globals, strict=strict)
    if services:
        tree.tables["service"] = services
    return tree


def _impossible(virtual: Virtual) -> str:
    """Why ipvsadm refuses a service whatever its servers are; empty if it does not."""
    if virtual.fwm is not None:
        return "" if 0 < int(virtual.fwm) <= MAX_U32 else f"ipvsadm refuses the firewall mark {int(virtual.fwm)}"
    if int(virtual.port) == 0 and not int(virtual.persistent or 0):
        return "ipvsadm refuses port 0 without persistence"
    return ""


def _settings(common: Globals, machine: Machine, tree: Tree) -> None:
    """The tables that are not about services."""
    tree.tables["include"] = []
    where = common.where
    for name, text in _QUIET.items():
        if name in where and getattr(common, name) != "no":
            tree.note(where[name], text, loud=False)
    fills: dict[str, Callable[[Table], None]] = {
        "log": lambda at: _log(at, common),
        "maintenance": lambda at: _maintenance(at, common),
        "mail": lambda at: _mail(at, common),
        "reload": lambda at: _reload(at, common, machine),
    }
    for name, fill in fills.items():
        values: dict[str, Any] = {}
        fill(table(tree, (name,), Span(), values))
        if values:
            tree.tables[name] = values


def _log(at: Table, common: Globals) -> None:
    span = common.where.get("logfile", Span())
    if common.supervised == "yes":
        return
    if common.logfile.startswith("/"):
        at.put("to", common.logfile.strip(), span)
        return
    at.put("to", "syslog", span)
    facility = common.logfile.lower().removeprefix("log_")
    if facility in FACILITIES:
        at.put("facility", facility, span)
    else:
        at.note(f'logfile: "{common.logfile}" is no facility of syslog; it becomes daemon', span)


def _maintenance(at: Table, common: Globals) -> None:
    if common.maintenancedir is not None:
        at.put("folder", _absolute(common.maintenancedir), common.where.get("maintenancedir"))


def _absolute(path: str) -> str:
    """A path as ldirectord finds it: once it is a daemon, it works in /."""
    path = path.strip()
    return path if path.startswith("/") or not path else f"/{path}"


def _reload(at: Table, common: Globals, machine: Machine) -> None:
    if common.autoreload == "yes":
        at.put("watch", True, common.where.get("autoreload"))
    if common.callback:
        span = common.where.get("callback")
        if machine.executable(common.callback):
            at.put("callback", common.callback, span)
        else:
            at.note(
                f"callback: {common.callback} cannot be executed, so it is never called, as with stock ldirectord", span
            )


def _mail(at: Table, common: Globals) -> None:
    where = common.where
    if common.emailalert:
        at.put("to", _recipients(at, common.emailalert, where.get("emailalert")), where.get("emailalert"))
    if common.emailalertfrom:
        span = where.get("emailalertfrom")
        at.put("from", _sender(at, common.emailalertfrom, span), span)
    at.put("server", common.smtp, where.get("smtp"))
    if int(common.emailalertfreq):
        span = where.get("emailalertfreq")
        at.put("reminder", bounded(at, "emailalertfreq", common.emailalertfreq, span), span)
    if common.emailalertstatus is not Stages.ALL:
        at.put("during", _during(common.emailalertstatus), where.get("emailalertstatus"))


def _mail_of_service(at: Table, virtual: Virtual, common: Globals, main: Globals | None) -> None:
    """What a virtual says of mail itself; all that is said of it, if it is of a file that another one executes."""
    where, values = virtual.where, dict[str, Any]()
    mail = Table(at.tree, (*at.path, "mail"), at.span, values)
    if main is not None:
        _mail(mail, common)
        for name, value in (("to", []), ("reminder", "0s"), ("during", _during(Stages.ALL))):
            if name not in values:
                mail.put(name, value)
    if virtual.emailalert is not None:
        mail.put("to", _recipients(mail, virtual.emailalert, where.get("emailalert")), where.get("emailalert"))
    mail.put("server", virtual.smtp, where.get("smtp"))
    if virtual.emailalertfreq is not None:
        span = where.get("emailalertfreq")
        mail.put("reminder", bounded(at, "emailalertfreq", virtual.emailalertfreq, span), span)
    if virtual.emailalertstatus is not None:
        mail.put("during", _during(virtual.emailalertstatus), where.get("emailalertstatus"))
    if values:
        at.put("mail", values, at.span)


def _recipients(at: Table, text: str, span: Span | None) -> list[str]:
    """Mail addresses of a list with commas or blanks; of `Name <address>` the address."""
    given = re.findall(r"<([^<>]*)>", text) if "<" in text else re.split(r"[\s,;]+", text)
    found = [word.strip('"') for word in given if word.strip('"')]
    for word in found:
        if not fits(mailbox, word):
            at.note(f'emailalert: "{word}" is no mail address, it is left out', span)
    return [word for word in found if fits(mailbox, word)]


def _sender(at: Table, text: str, span: Span | None) -> str | None:
    found = text.strip(" \t\r")
    for form in (found, found.strip('"')):
        if fits(sender, form):
            return form
    at.note(f'emailalertfrom: "{text}" is no mail address, so the sender is our own user', span)
    return None


def _during(stages: Stages) -> list[str]:
    return [
        str(stage.name).lower()
        for stage in (Stages.STARTING, Stages.RUNNING, Stages.STOPPING, Stages.RELOADING)
        if stage in stages
    ]


def _service(at: Table, virtual: Virtual, common: Globals, machine: Machine, *, strict: bool) -> None:
    """The keys of a service but its mail, its check and its servers."""
    where = virtual.where
    _identity(at, virtual)
    at.put("scheduler", virtual.scheduler, where.get("scheduler"))
    if virtual.schedflags is not None:
        _scheduler_flags(at, virtual)
    _persistence(at, virtual)
    if virtual.ops == "yes" and virtual.protocol == "udp":
        at.put("one_packet", True, where.get("ops"))
    elif virtual.ops == "yes":
        at.note("ops: only for udp, as with stock ldirectord", where.get("ops"))
    quiescent, cleanstop = virtual.quiescent or common.quiescent, virtual.cleanstop or common.cleanstop
    at.put("on_failure", "quiesce" if quiescent == "yes" else "remove", where.get("quiescent"))
    at.put("on_stop", "remove" if cleanstop == "yes" else "leave", where.get("cleanstop"))
    put_fallback(at, virtual, common)
    command = common.fallbackcommand if virtual.fallbackcommand is None else virtual.fallbackcommand
    at.put("fallback_command", command, where.get("fallbackcommand") or common.where.get("fallbackcommand"))
    _texts(at, virtual)


def _scheduler_flags(at: Table, virtual: Virtual) -> None:
    """Options of the scheduler, but not those of another one."""
    span, given = virtual.where.get("schedflags"), str(virtual.schedflags).split(",")
    fitting = [flag for flag in given if flag in SCHEDULER_FLAGS]
    fitting = [flag for flag in fitting if flag.partition("-")[0] in ("flag", virtual.scheduler)]
    for flag in given:
        if flag not in fitting:
            at.note(f"schedflags: {flag} is no option of the scheduler {virtual.scheduler}; it is left out", span)
    if fitting:
        at.put("scheduler_flags", fitting, span)


def _identity(at: Table, virtual: Virtual) -> None:
    where = virtual.where
    if virtual.fwm is not None:
        at.put("fwmark", int(virtual.fwm), where["virtual"])
        if virtual.family is Family.IPV6:
            at.put("family", "ipv6", where["virtual"])
        return
    at.put("virtual", f"{virtual.server}:{int(virtual.port)}", where["virtual"])
    at.put("protocol", virtual.protocol, where.get("protocol"))


def _persistence(at: Table, virtual: Virtual) -> None:
    span = virtual.where.get("persistent")
    if virtual.persistent is None:
        return
    if not 0 < int(virtual.persistent) <= MAX_PERSISTENCE:
        at.note(f"persistent: ipvsadm refuses {int(virtual.persistent)} seconds", span)
    if int(virtual.persistent) == 0:
        return
    seconds = min(int(virtual.persistent), MAX_PERSISTENCE)
    mask = _mask(at, virtual)
    if mask is None:
        at.put("persistent", seconds, span)
        return
    at.put("persistent", {"timeout": seconds, "netmask": mask}, span)
    at.tree.spans[(*at.path, "persistent", "netmask")] = virtual.where.get("netmask", at.span)


def _mask(at: Table, virtual: Virtual) -> str | int | None:
    """The netmask of persistence; None if there is none that the kernel takes."""
    if virtual.netmask is None:
        return None
    mask = int(virtual.netmask) if virtual.netmask.isdecimal() else virtual.netmask
    if fits(prefix, mask):
        return mask
    at.note(f"netmask: the kernel takes no {virtual.netmask}; it is left out", virtual.where.get("netmask"))
    return None


def _texts(at: Table, virtual: Virtual) -> None:
    where = virtual.where
    if virtual.monitorfile:
        at.put("monitor_file", _absolute(virtual.monitorfile), where.get("monitorfile"))
    if name := "".join(c for c in virtual.servicename or "" if c.isprintable()).strip():
        at.put("title", name[:LONGEST_TITLE].strip(), where.get("servicename"))
    if virtual.comment:
        at.put("comment", virtual.comment.rstrip("\r"), where.get("comment"))
    if virtual.load is not None:
        at.note("load: it says nothing, as with stock ldirectord", where.get("load"), loud=False)
