"""Scrapes of a scripted director: parsed by the client library's own parsers, as values by name and labels."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from healthd.events import Event, Kind
from healthd.failures import Failures
from healthd.history import History
from healthd.hooks import Announcer, Hook, HookStats
from healthd.log.writer import LogStats
from healthd.metrics import Exposition
from healthd.operators import Operators
from healthd.parts import Parts
from tests.director.scenario import Scenario

BOUND = 60.0
EPOCH = 1.7e9
"""Seconds since the epoch when a scenario's clock was at zero."""
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


class QuietLog:
    """A log that fares as a test says."""

    def __init__(self) -> None:
        self.told = LogStats("stderr", 7, 1, 2, 3, False, "")

    def stats(self) -> LogStats:
        """How it fares."""
        return self.told


@dataclass
class Told:
    """A hook that fares as a test says."""

    told: HookStats

    @property
    def name(self) -> str:
        """As in what it tells."""
        return self.told.name

    def event(self, event: Event) -> None:
        """Take nothing."""

    def stats(self) -> HookStats:
        """How it fares."""
        return self.told

    async def close(self, grace: float) -> None:
        """Nothing to release."""


@dataclass
class Scrape:
    """What came of one. samples: values by name and labels."""

    content_type: str
    text: str
    metrics: list[Metric] = field(init=False)
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(init=False)

    def __post_init__(self) -> None:
        parse = parse_openmetrics if "openmetrics" in self.content_type else parse_text
        self.metrics = list(parse(self.text))
        found = [sample for metric in self.metrics for sample in metric.samples]
        self.samples = {(one.name, frozenset(one.labels.items())): one.value for one in found}
        assert len(self.samples) == len(found), "a series comes twice"

    def value(self, name: str, **labels: str) -> float | None:
        """The value of one series; None where there is no such series."""
        return self.samples.get((f"healthd_{name}", frozenset(labels.items())))

    def names(self) -> set[str]:
        """Names of all series."""
        return {name for name, _ in self.samples}

    def labels(self, name: str) -> list[dict[str, str]]:
        """The labels of all series of a name."""
        return [dict(labels) for each, labels in self.samples if each == f"healthd_{name}"]


class Scraped:
    """A scenario with all that the daemon has besides."""

    def __init__(self, scenario: Scenario, hooks: Iterable[Hook] = ()) -> None:
        self.scenario = scenario
        self.history = History()
        self.log = QuietLog()
        self.operators = Operators(lambda wishes: scenario.director.wish("operators", wishes), self._tell, lambda: 1e9)
        self.failures = Failures()
        self.parts = Parts(
            scenario.director,
            scenario.table,
            scenario.prober,
            self.operators,
            self.history,
            Announcer([self.history, *hooks]),
            self.log,  # type: ignore[arg-type]  # its `stats` is all that is asked
            self.failures,
        )
        self.exposition = Exposition(self.parts, lambda: EPOCH)

    def _tell(self, event: Event) -> None:
        self.history.event(event)

    def happened(self, kind: Kind, at: float = 1e9) -> None:
        """Something happened."""
        self.history.event(Event(kind, at, "it happened"))

    async def scrape(self, accept: str = "") -> Scrape:
        """Scrape it once."""
        content_type, pieces = await self.exposition.scrape(accept)
        return Scrape(content_type, b"".join(pieces).decode())


def scrape(path: Path, accept: str = "") -> Scrape:
    """One scrape of a running daemon. path: of its control socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(BOUND)
        sock.connect(str(path))
        connection = http.client.HTTPConnection("localhost", timeout=BOUND)
        connection.sock = sock
        connection.request("GET", "/metrics", headers={"Accept": accept})
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == http.client.OK, text
        assert len(text.encode()) == int(answer.headers["Content-Length"])
        return Scrape(answer.headers["Content-Type"], text)
