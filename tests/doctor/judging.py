"""Facts of a director with nothing wrong, and the findings of one part as a test wants to see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from healthd.config.schema import RealServer, ServiceConfig
from healthd.doctor.facts import Facts, Kernel, Network, Route, Way
from healthd.doctor.findings import Finding, Level
from healthd.model import Address, DestSpec, Forwarding
from tests.support import builders
from tests.support.builders import A, B

MASQ, GATE, IPIP = Forwarding.MASQ, Forwarding.GATE, Forwarding.IPIP
LOCAL, LINK, NOWHERE = Route(Way.LOCAL, "lo"), Route(Way.LINK, "eth1"), Route(Way.NONE)
SCHEDULERS = frozenset({"ip_vs", "ip_vs_wlc", "ip_vs_wrr", "ip_vs_sh"})


def server(key=A, forwarding: Forwarding = MASQ, **more: Any) -> RealServer:
    """A checked server that is forwarded to in some way."""
    return replace(builders.real(key, **more), spec=DestSpec(forwarding, 10))


def facts(*services: ServiceConfig, **more: Any) -> Facts:
    """Services whose virtual addresses are here and whose servers are on a link; then whatever is said otherwise."""
    declared = services or (builders.service(server(), server(B)),)
    routes = {s.key.address: LOCAL for s in declared if hasattr(s.key, "address")}
    routes |= {real.key.address: LINK for s in declared for real in s.reals}
    seen = Facts(
        builders.config(*declared),
        kernel=Kernel("6.1.0-18-amd64", "1.2.1", 4096, 0, SCHEDULERS, SCHEDULERS),
        sysctls={"net/ipv4/ip_forward": "1"},
        network=Network(routes=routes),
        version="1",
    )
    return replace(seen, **more)


def sysctls(**values: object) -> dict[str, str]:
    """Settings of IPVS by their last name, with packets passed on."""
    return {"net/ipv4/ip_forward": "1", **{f"net/ipv4/vs/{name}": str(value) for name, value in values.items()}}


def wrong(part: ModuleType, seen: Facts) -> list[Finding]:
    """What a part finds, but for what is in order."""
    return [finding for finding in part.judge(seen) if finding.level is not Level.OK]


def only(part: ModuleType, seen: Facts) -> Finding:
    """The one thing that is wrong."""
    found = wrong(part, seen)
    assert len(found) == 1, found
    return found[0]


def with_routes(seen: Facts, routes: Mapping[Address, Route]) -> Facts:
    """Facts with other ways to some addresses."""
    return replace(seen, network=replace(seen.network, routes={**seen.network.routes, **routes}))


def with_network(seen: Facts, **changes: Any) -> Facts:
    """Facts of another network."""
    return replace(seen, network=replace(seen.network, **changes))
