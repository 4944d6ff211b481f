"""Tables, configurations and answers in one line, for tests that talk about servers A, B and C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import ClassVar

from healthd.check import Conversation, Outcome, Reason, Target, Verdict
from healthd.config.schema import (
    Admin,
    CheckPlan,
    Config,
    Drift,
    Fallback,
    OnFailure,
    RealServer,
    ServiceConfig,
    Settings,
    TableSettings,
)
from healthd.health import Thresholds
from healthd.model import (
    AddressKey,
    DestKey,
    DestSpec,
    Forwarding,
    Persistence,
    Protocol,
    Service,
    ServiceKey,
    ServiceSpec,
    Timeouts,
)
from healthd.prober.base import Cadence


def vip(text: str, protocol: Protocol = Protocol.TCP) -> AddressKey:
    """Key of a virtual service, from text such as 192.0.2.80:80."""
    address, _, port = text.rpartition(":")
    return AddressKey(protocol, ip_address(address.strip("[]")), int(port))


def dest(text: str, port: int = 80) -> DestKey:
    """Key of a destination, from the text of its address."""
    return DestKey(ip_address(text), port)


WWW, MAIL, DNS = vip("192.0.2.80:80"), vip("192.0.2.25:25"), vip("192.0.2.53:53", Protocol.UDP)
A, B, C, D = (dest(f"10.0.0.{last}") for last in (11, 12, 13, 14))
SORRY = dest("10.0.0.99", 8080)
STRANGER = dest("10.9.9.9")
WLC = ServiceSpec("wlc")
STICKY = ServiceSpec("wrr", persistence=Persistence(300, 32))
FAST = Thresholds(rise=1, fall=1)


def row(weight: int, forwarding: Forwarding = Forwarding.MASQ) -> DestSpec:
    """A destination's row."""
    return DestSpec(forwarding, weight)


def listed(weights: Mapping[DestKey, int] | None = None, spec: ServiceSpec = WLC) -> Service:
    """A service as the table has it, by the weights of its destinations."""
    return Service(spec, {key: row(weight) for key, weight in (weights or {}).items()})


def weights(service: Service | None) -> dict[DestKey, int] | None:
    """The weights of a service's destinations; None where there is no service."""
    return None if service is None else {key: spec.weight for key, spec in service.dests.items()}


@dataclass(frozen=True, slots=True)
class Ask:
    """A check that is never really asked; `word` tells one from another."""

    kind: ClassVar[str] = "ask"
    word: str = ""
    asks_weight: bool = False

    def converse(self, target: Target) -> Conversation:
        """Nobody comes here."""
        raise AssertionError("a scripted prober does not converse")
        yield


def check(
    key: DestKey, limits: Thresholds, *, word: str = "", interval: float = 5.0, asks_weight: bool = False
) -> CheckPlan:
    """One check of a server."""
    return CheckPlan(Ask(word, asks_weight), Target(key.address, key.port), Cadence(interval), limits)


def real(
    key: DestKey,
    weight: int = 10,
    *checks: CheckPlan,
    limits: Thresholds = FAST,
    admin: Admin = Admin.ENABLED,
    name: str = "",
    unchecked: bool = False,
) -> RealServer:
    """A declared server; one check with these thresholds unless checks are given or it is unchecked."""
    asked = () if unchecked else checks or (check(key, limits),)
    return RealServer(key, row(weight), asked, admin, name)


def service(
    *reals: RealServer,
    key: ServiceKey = WWW,
    name: str = "www",
    spec: ServiceSpec = WLC,
    on_failure: OnFailure = OnFailure.QUIESCE,
    fallback: bool = False,
    admin: Admin = Admin.ENABLED,
) -> ServiceConfig:
    """A declared service."""
    steps_in = Fallback(SORRY, row(1)) if fallback else None
    return ServiceConfig(name, key, spec, reals, on_failure, steps_in, admin)


def config(
    *services: ServiceConfig, drift: Drift = Drift.REPAIR, resync: float = 15.0, timeouts: Timeouts | None = None
) -> Config:
    """A whole configuration."""
    table = TableSettings(drift=drift, resync=resync, timeouts=timeouts or Timeouts())
    return Config(Settings(table=table), services)


PASS = Verdict(Outcome.PASS, detail="connected")
FAIL = Verdict(Outcome.FAIL, Reason.REFUSED, "connection refused")
UNSURE = Verdict(Outcome.INCONCLUSIVE, Reason.LOCAL, "no file descriptor left")


def asks(weight: int | None) -> Verdict:
    """A pass that asks for a weight."""
    return Verdict(Outcome.PASS, detail=f"asks for {weight}", weight=weight)
