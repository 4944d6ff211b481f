"""What becomes of our services when the daemon stops. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from healthd.config.schema import OnStop
from healthd.model import Service, ServiceKey, Table


def stopped(policies: Mapping[ServiceKey, OnStop], actual: Table) -> Mapping[ServiceKey, Service | None]:
    """The wanted table after the stop, given our services as they are, and the stop policy of each."""
    return {key: _stopped(policies.get(key, OnStop.LEAVE), service) for key, service in actual.items()}


def _stopped(policy: OnStop, service: Service) -> Service | None:
    match policy:
        case OnStop.LEAVE:
            return service
        case OnStop.REMOVE:
            return None
        case OnStop.QUIESCE:
            return Service(service.spec, {key: replace(row, weight=0) for key, row in service.dests.items()})
