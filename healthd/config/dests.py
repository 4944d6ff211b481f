"""The real servers and the fallback of a virtual service, with the rules that tie them to it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from healthd.check import Binding
from healthd.config import checks
from healthd.config.checks import Declared, Ready, Shared
from healthd.config.decode import At, Report, build, decode, keys_of
from healthd.config.defaults import Defaults
from healthd.config.schema import CheckPlan, Fallback, RealServer
from healthd.config.tables import ELSEWHERE_OF_REAL, FallbackTable, RealTable, ServiceTable
from healthd.config.virtual import name_of
from healthd.model import Address, AddressKey, DestKey, DestSpec, Family, Forwarding, ServiceKey, Tunnel, family_of

FORWARD_NAMES = {
    Forwarding.MASQ: 'masquerading ("masq")',
    Forwarding.GATE: 'direct routing ("gate")',
    Forwarding.IPIP: 'a tunnel ("ipip")',
}


@dataclass(frozen=True, slots=True)
class Frame:
    """A service as its servers see it. key: None if it is wrong. ready: its checks, None where one is wrong."""

    table: ServiceTable
    key: ServiceKey | None
    declared: tuple[Declared, ...]
    ready: tuple[Ready | None, ...]
    defaults: Defaults

    @property
    def port(self) -> int:
        """The virtual port; 0 for a firewall mark and for every port."""
        return self.key.port if isinstance(self.key, AddressKey) else 0


def read_reals(frame: Frame, report: Report, shared: Shared) -> tuple[RealServer, ...]:
    """Every real server that is right; what is wrong with the others is reported."""
    found: dict[DestKey, RealServer] = {}
    names: set[str] = set()
    for at, given in frame.table.real:
        layer = decode(keys_of(RealTable), given, at, report, ELSEWHERE_OF_REAL).over(frame.defaults.real)
        table = build(RealTable, layer, report)
        if table is None:
            continue
        if table.name and table.name in names:
            report.error(at / "name", f"name: a second real server named '{table.name}' in this service")
        names.add(table.name)
        _read_real(frame, table, found, report, shared)
    return tuple(found.values())


def _read_real(
    frame: Frame, table: RealTable, found: dict[DestKey, RealServer], report: Report, shared: Shared
) -> None:
    """One [[service.real]]: a server, or every server of a range."""
    at, plans = table.layer.at, _checks(frame, table, report, shared)
    port = _port_of(frame, table, report)
    spec = shared.one(_spec(frame, table, report))
    place = at.source.place(at.path)
    if table.name and len(table.address) > 1:
        report.error(at / "name", "name: a range of servers cannot share one")
    keys = [DestKey(address, port) for address in table.address]
    if twice := [key for key in keys if key in found]:
        more = f" (and {len(twice) - 1} more)" if len(twice) > 1 else ""
        text = f"address: {twice[0]}{more} is a real server of this service already, see {found[twice[0]].place}"
        report.error(at / "address", text, found=str(twice[0]))
    for key in keys:
        bound = tuple(plan for one in plans if (plan := _plan(frame, one, key, report)))
        found.setdefault(key, RealServer(key, spec, bound, table.admin, table.name, place))


def _checks(frame: Frame, table: RealTable, report: Report, shared: Shared) -> tuple[Ready, ...]:
    """The checks of a server: the service's own objects where it has nothing else to say."""
    if table.check is None:
        return tuple(one for one in frame.ready if one is not None)
    if not table.check:
        return ()
    done = {id(declared): ready for declared, ready in zip(frame.declared, frame.ready, strict=True)}
    mine = checks.redeclare(table.check, frame.declared, frame.defaults.check, report)
    found = [done[id(one)] if id(one) in done else checks.ready(one, report, shared) for one in mine]
    return tuple(one for one in found if one is not None)


def _plan(frame: Frame, ready: Ready, key: DestKey, report: Report) -> CheckPlan | None:
    """One check of one server; a check is told the virtual address or mark, and the port."""
    match frame.key:
        case None:
            return None
        case AddressKey(_, address, _):
            virtual = str(address)
        case mark:
            virtual = str(mark.fwmark)
    name = frame.table.name or name_of(frame.key)
    return checks.plan(ready, Binding(name, virtual, frame.port, key.address, key.port), report)


def _port_of(frame: Frame, table: RealTable | FallbackTable, report: Report) -> int:
    where, given = table.layer.where, table.address.port
    if table.port is not None and given is not None:
        report.error(where("port"), "port: the address has a port already")
    at, given = (where("port"), table.port) if table.port is not None else (where("address"), given)
    if given is None:
        return frame.port
    forward = _forward(frame, table)
    if frame.key is None or forward is None or given == frame.port or _check_port(frame, at, given, forward, report):
        return given
    return frame.port


def _forward(frame: Frame, table: RealTable | FallbackTable) -> Forwarding | None:
    """How packets reach a server; None if what says so is wrong.

    A fallback with a loopback address is delivered here unchanged, as direct routing does, if it says nothing else.
    """
    if table.forward is not None:
        return table.forward
    if isinstance(table, FallbackTable) and table.address.address.is_loopback:
        return Forwarding.GATE
    return None if "forward" in table.layer.bad | frame.table.layer.bad else frame.table.forward


def _check_port(frame: Frame, at: At, port: int, forward: Forwarding, report: Report) -> bool:
    """Whether packets can reach a port that is not the virtual one."""
    name, wanted = _name(at), f"the virtual port is {frame.port}"
    if not isinstance(frame.key, AddressKey):
        wanted = "with a firewall mark it must be left out"
    if forward is not Forwarding.MASQ:
        text = f"{name}: {FORWARD_NAMES[forward]} cannot change the port to {port}, {wanted}"
        report.error(at, text, expected=f"port {frame.port}", found=f"port {port}")
        return False
    if port == 0:
        report.error(at, f"{name}: port 0 stands for the port that the client asked for, but {wanted}")
    return port != 0


def _name(at: At) -> str:
    """What to call a place: its key, or the fallback that a text stands for."""
    return "fallback" if "fallback" in at.path else str(at.path[-1])


def _spec(frame: Frame, table: RealTable, report: Report) -> DestSpec:
    layer = table.layer
    if not layer.bad & {"upper", "lower"} and table.lower > table.upper:
        bound = f"upper, which is {table.upper}" if table.upper else "upper, which is not set"
        report.error(layer.where("lower"), f"lower: {table.lower} is more than {bound}", found=str(table.lower))
    forward = _way(frame, table, table.address.first, report)
    return DestSpec(forward, table.weight, table.upper, table.lower, _tunnel(frame, table, forward))


def _way(frame: Frame, table: RealTable | FallbackTable, address: Address, report: Report) -> Forwarding:
    """How packets reach a server, with the rules of that way; anything if what says so is wrong."""
    where, forward = table.layer.where, _forward(frame, table)
    if forward is None:
        return Forwarding.MASQ
    if table.tunnel is not None and forward is not Forwarding.IPIP:
        text = f'tunnel: only with forward = "ipip", this server has {FORWARD_NAMES[forward]}'
        report.error(where("tunnel"), text)
    local_clients = isinstance(frame.key, AddressKey) and frame.key.address.is_loopback
    if forward is Forwarding.MASQ and address.is_loopback and not local_clients:
        report.warning(where("address"), f"{_name(where('address'))}: {_LOOPBACK}")
    if frame.key is not None and family_of(address) is not frame.key.family and forward is not Forwarding.IPIP:
        family = "IPv4" if frame.key.family is Family.IPV4 else "IPv6"
        text = f'{address} is not {family} as the service is; that works only with forward = "ipip"'
        report.error(where("address"), f"{_name(where('address'))}: {text}", found=str(address))
    return forward


_LOOPBACK = "the kernel masquerades only this machine's own packets to a loopback address; other clients get no answer"


def _tunnel(frame: Frame, table: RealTable | FallbackTable, forward: Forwarding) -> Tunnel:
    if forward is not Forwarding.IPIP:
        return Tunnel()
    return table.tunnel or frame.table.tunnel or Tunnel()


def read_fallback(frame: Frame, reals: Collection[DestKey], report: Report) -> Fallback | None:
    """The fallback of a service; what is wrong with it is reported."""
    table = frame.table.fallback
    if table is None or frame.key is None:
        return None
    key = DestKey(table.address.address, _port_of(frame, table, report))
    if key in reals:
        text = f"fallback: {key} is a real server of this service; a fallback must be another one"
        report.error(table.layer.where("address"), text, found=str(key))
    forward = _way(frame, table, key.address, report)
    return Fallback(key, DestSpec(forward, table.weight, tunnel=_tunnel(frame, table, forward)))
