"""Strategies: tables, services and servers, small enough to collide often."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import strategies as st

from healthd.config.schema import Admin, OnFailure, RealServer, ServiceConfig
from healthd.health import Phase
from healthd.model import (
    DestKey,
    DestSpec,
    Family,
    Forwarding,
    FwmarkKey,
    Persistence,
    Service,
    ServiceKey,
    ServiceSpec,
)
from healthd.policy import ServerState
from tests.support.builders import DNS, MAIL, SORRY, WWW, A, B, C, D, real, service

OWNED = (WWW, MAIL, FwmarkKey(Family.IPV4, 7))
FOREIGN = (DNS, FwmarkKey(Family.IPV6, 7))
SERVERS = (A, B, C, D)
DESTS = (*SERVERS, SORRY, DestKey(ip_address("10.0.0.11"), 81))

specs = st.builds(
    ServiceSpec, st.sampled_from(["rr", "wlc"]), persistence=st.sampled_from([None, Persistence(300, 32)])
)
rows = st.builds(
    DestSpec, st.sampled_from([Forwarding.MASQ, Forwarding.GATE]), st.integers(0, 3), upper=st.sampled_from([0, 100])
)
services_ = st.builds(Service, specs, st.dictionaries(st.sampled_from(DESTS), rows, max_size=5))


def tables(keys: tuple[ServiceKey, ...]) -> st.SearchStrategy[dict[ServiceKey, Service]]:
    """Tables with some of these services."""
    return st.dictionaries(st.sampled_from(keys), services_, max_size=len(keys))


wishes = st.dictionaries(st.sampled_from(OWNED), st.none() | services_, max_size=len(OWNED))
"""What is wanted of services of ours: all of it, or that it be gone."""

states = st.builds(
    ServerState,
    st.sampled_from(Phase),
    st.none() | st.integers(0, 3),
    st.sampled_from(Admin),
    st.booleans(),
    st.none() | st.none() | st.integers(0, 3),
)


@st.composite
def known(draw: st.DrawFn) -> tuple[ServiceConfig, dict[DestKey, ServerState]]:
    """A declared service and what is known of each of its servers."""
    keys = draw(st.lists(st.sampled_from(SERVERS), unique=True))
    reals: list[RealServer] = [real(key, draw(st.integers(0, 3))) for key in keys]
    config = service(*reals, on_failure=draw(st.sampled_from(OnFailure)), fallback=draw(st.booleans()))
    return config, {key: draw(states) for key in keys}


def usable(found: Service | None) -> bool:
    """True if clients can be sent somewhere."""
    return found is not None and any(spec.weight for spec in found.dests.values())
