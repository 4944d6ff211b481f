"""What becomes of our services when the daemon stops. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from healthd.config.schema import OnStop
from healthd.model import Service, ServiceKey, Table


def stopped(policy: OnStop, actual: Table) -> Mapping[ServiceKey, Service | None]:
    """The wanted table after the stop, given our services as they are."""
    match policy:
        case OnStop.LEAVE:
            return dict(actual)
        case OnStop.REMOVE:
            return dict.fromkeys(actual)
        case OnStop.QUIESCE:
            return {key: _quiesced(service) for key, service in actual.items()}


def _quiesced(service: Service) -> Service:
    return Service(service.spec, {key: replace(row, weight=0) for key, row in service.dests.items()})
