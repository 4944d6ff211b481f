"""Hypothesis strategies for every service, destination and daemon that can be written to the kernel."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from healthd.model import (
    AddressKey,
    Checksum,
    DestKey,
    DestSpec,
    Encapsulation,
    Family,
    Forwarding,
    FwmarkKey,
    Persistence,
    Protocol,
    SchedulerFlag,
    ServiceSpec,
    SyncDaemon,
    SyncState,
    Tunnel,
)

NUMBERS = st.integers(0, 0xFFFFFFFF)
PORTS = st.integers(0, 65535)
ADDRESSES = st.one_of(
    st.integers(0, (1 << 32) - 1).map(IPv4Address), st.integers(0, (1 << 128) - 1).map(lambda n: IPv6Address(n))
)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=15)
ADDRESS_KEYS = st.builds(AddressKey, st.sampled_from(Protocol), ADDRESSES, PORTS)
FWMARK_KEYS = st.builds(FwmarkKey, st.sampled_from(Family), st.integers(1, 0xFFFFFFFF))
SERVICE_KEYS = st.one_of(ADDRESS_KEYS, FWMARK_KEYS)
DEST_KEYS = st.builds(DestKey, ADDRESSES, PORTS)
CHECKSUMS = st.sampled_from(Checksum)
TUNNELS = st.one_of(
    st.just(Tunnel()),
    st.builds(Tunnel, st.just(Encapsulation.GUE), st.integers(1, 65535), CHECKSUMS),
    st.builds(Tunnel, st.just(Encapsulation.GRE), st.just(0), CHECKSUMS),
)


def service_specs(family: Family) -> st.SearchStrategy[ServiceSpec]:
    """Specs of a service of one family."""
    persistence = st.builds(Persistence, st.integers(1, 2_000_000), st.integers(1, family.max_prefix))
    return st.builds(
        ServiceSpec,
        NAMES,
        st.integers(0, 7).map(lambda bits: SchedulerFlag(bits << 3)),
        st.none() | persistence,
        st.booleans(),
        st.none() | NAMES,
    )


SERVICES = SERVICE_KEYS.flatmap(lambda key: st.tuples(st.just(key), service_specs(key.family)))


@st.composite
def dest_specs(draw: st.DrawFn) -> DestSpec:
    """Specs of a destination."""
    how = draw(st.sampled_from(Forwarding))
    upper = draw(NUMBERS)
    tunnel = draw(TUNNELS) if how is Forwarding.IPIP else Tunnel()
    return DestSpec(how, draw(st.integers(0, 65535)), upper, draw(st.integers(0, upper)), tunnel)


DEST_SPECS = dest_specs()
GROUPS = st.one_of(
    st.integers(0xE0000000, 0xEFFFFFFF).map(IPv4Address), st.integers(0xFF << 120, (1 << 128) - 1).map(IPv6Address)
)
DAEMONS = st.builds(
    SyncDaemon,
    st.sampled_from(SyncState),
    NAMES,
    st.integers(0, 255),
    PORTS,
    st.none() | GROUPS,
    PORTS,
    st.integers(0, 255),
)
