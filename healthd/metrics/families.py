"""Every metric that healthd has: its name, its labels, and what it means to an operator.

Names follow Prometheus' conventions: base units, `_total` for what only grows. Labels are names from the configuration
and words of closed lists, so there are as many series as there are servers and checks, whatever servers answer and
whoever asks. docs/metrics.md is made of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.metrics_core import HistogramMetricFamily as Histogram

Labelled = tuple[Sequence[str], float]


class Type(Enum):
    """As Prometheus has them. INFO is a gauge that is always 1: what it tells is in its labels."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Family:
    """One metric, with all its series. name: as it is asked for."""

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ()

    def metric(self, samples: Iterable[Labelled] = ()) -> Metric:
        """The metric as the client library has it. samples: of each series the values of the labels, and the value."""
        if self.type is Type.INFO:
            return self._info(labels for labels, _ in samples)
        made = _PLAIN[self.type](self.name, self.help, labels=self.labels)
        for labels, value in samples:
            made.add_metric(labels, value)
        return made

    def _info(self, series: Iterable[Sequence[str]]) -> Metric:
        made = InfoMetricFamily(self.name.removesuffix("_info"), self.help)
        for labels in series:
            made.add_metric((), dict(zip(self.labels, labels, strict=True)))
        return made

    def histogram(self, buckets: Sequence[tuple[str, float]], total: float) -> Metric:
        """A histogram. buckets: upper bounds as text, the last is +Inf, with how much is below each; total: its sum."""
        return Histogram(self.name, self.help, buckets=list(buckets), sum_value=total)


_PLAIN: Mapping[Type, type[GaugeMetricFamily | CounterMetricFamily]] = {
    Type.GAUGE: GaugeMetricFamily,
    Type.COUNTER: CounterMetricFamily,
}


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(f"healthd_{name}", Type.GAUGE, text, labels)


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(f"healthd_{name}_total", Type.COUNTER, text, labels)


def _info(name: str, text: str, *labels: str) -> Family:
    return Family(f"healthd_{name}_info", Type.INFO, text, labels)


# --- the daemon -------------------------------------------------------------------------------------------------------

BUILD = _info("build", "Which healthd runs.", "version")
STARTED = _gauge("start_timestamp_seconds", "When the daemon began to keep the table, in seconds since the epoch.")
LOADED = _gauge("config_load_timestamp_seconds", "When the configuration in force was read.")
RELOAD_OK = _gauge("config_last_reload_successful", "1 if the last reload was taken over, or none was tried; else 0.")
EVENTS = _counter("events", "Events by kind, as in the log and in healthd events; docs/hooks.md has the kinds.", "kind")
CPU = _counter("process_cpu_seconds", "Processor time of each process of the daemon, of user and system.", "process")
MEMORY = _gauge("process_resident_memory_bytes", "Memory that each process of the daemon has in RAM.", "process")

DAEMON = (BUILD, STARTED, LOADED, RELOAD_OK, EVENTS, CPU, MEMORY)

# --- the kernel's table -----------------------------------------------------------------------------------------------

TABLE_UP = _gauge("table_up", "1 if the kernel's table could be read and written the last time, 0 if it is lost.")
READS = _counter("table_reads", "Times that the table, or a part of it, was read to compare it with what is wanted.")
WRITES = _counter("table_writes", "Operations on rows that the table acknowledged.")
REJECTIONS = _counter("table_rejections", "Operations on rows that the table refused, each time one was tried.")

TABLE = (TABLE_UP, READS, WRITES, REJECTIONS)

# --- probing ----------------------------------------------------------------------------------------------------------

PROBES = _gauge("probes", "Probes that are asked regularly; equal questions of several servers are one.")
UNASKED = _gauge("probes_unasked", "Probes that have no answer of any kind yet.")
IN_FLIGHT = _gauge("probes_in_flight", "Probes under way.")
RESULTS = _counter(
    "probe_results", "Answers: pass, fail, or inconclusive where healthd itself could not ask.", "outcome"
)
MISSED = _counter("probes_missed", "Probes left out because the one before was still under way or it was too late.")
LATENESS = Family(
    "healthd_probe_lateness_seconds",
    Type.HISTOGRAM,
    "How much later than planned probes were begun: healthd's own delay.",
)
STALLS = _counter("prober_stalls", "Times that a prober was not given the processor, or slept, for 50 ms or more.")

PROBING = (PROBES, UNASKED, IN_FLIGHT, RESULTS, MISSED, LATENESS, STALLS)

# --- telling people ---------------------------------------------------------------------------------------------------

HOOK_DELIVERED = _counter("hook_delivered", "Events that a hook has delivered.", "hook")
HOOK_FAILED = _counter("hook_failed", "Events that a hook has given up after all retries.", "hook")
HOOK_DROPPED = _counter("hook_dropped", "Events forgotten because a hook fell behind, or left over at its end.", "hook")
HOOK_RETRIES = _counter("hook_retries", "Attempts of a hook after a first one that failed.", "hook")
HOOK_QUEUED = _gauge("hook_queued", "Events that wait for a hook.", "hook")
LOG_WRITTEN = _counter("log_lines", "Lines of the log that were written to its place.")
LOG_SPILLED = _counter("log_spilled_lines", "Lines of the log that went to standard error instead.")
LOG_DROPPED = _counter("log_dropped_lines", "Lines of the log that went nowhere.")
LOG_QUEUED = _gauge("log_queued_lines", "Lines of the log that wait to be written.")
LOG_AWAY = _gauge("log_away", "1 while the log's place cannot be written to.")

HOOKS = (HOOK_DELIVERED, HOOK_FAILED, HOOK_DROPPED, HOOK_RETRIES, HOOK_QUEUED)
LOG = (LOG_WRITTEN, LOG_SPILLED, LOG_DROPPED, LOG_QUEUED, LOG_AWAY)

# --- what operators ask -----------------------------------------------------------------------------------------------

OVERRIDE_SET = _gauge(
    "override_set_timestamp_seconds",
    "When an override was asked for that is still in force. No service: in every one; no real: for all servers.",
    *("service", "real", "kind"),
)
OVERRIDE_END = _gauge(
    "override_end_timestamp_seconds",
    "When an override in force ends by itself; nothing for one that does not.",
    *("service", "real", "kind"),
)
UNSAVED = _gauge("overrides_unsaved", "1 while overrides in force would not live through a restart.")

OVERRIDES = (OVERRIDE_SET, OVERRIDE_END, UNSAVED)

# --- services ---------------------------------------------------------------------------------------------------------

SERVICE_INFO = _info("service", "The virtual services, by name.", "service", "virtual", "scheduler")
PRESENT = _gauge("service_present", "1 if the virtual service is in the table.", "service")
SERVERS = _gauge("service_servers", "Declared servers by phase: up, down, unknown.", "service", "phase")
USABLE = _gauge(
    "service_usable_servers", "Declared servers that take new connections: their weight is above 0.", "service"
)
KEEP = _gauge(
    "service_keep_usable_servers", "Fewest usable servers that operators are to leave (keep_usable).", "service"
)
FALLBACK = _gauge("service_fallback_active", "1 while the fallback is in; nothing where none is configured.", "service")
REFUSED = _gauge("service_refused_rows", "Operations for this service that the table refuses; tried again.", "service")
EDITED = _gauge("service_edited_rows", "Rows of this service left as somebody else has made them (drift).", "service")

SERVICES = (SERVICE_INFO, PRESENT, SERVERS, USABLE, KEEP, FALLBACK, REFUSED, EDITED)

# --- real servers -----------------------------------------------------------------------------------------------------

_REAL = ("service", "real")
UP = _gauge("server_up", "1 if all checks of a server hold it for up; 0 if it is down or not known yet.", *_REAL)
SINCE = _gauge("server_phase_timestamp_seconds", "When a server that is checked came into its phase.", *_REAL)
CONFIGURED = _gauge("server_configured_weight", "Weight in the configuration.", *_REAL)
FULL = _gauge(
    "server_full_weight", "Weight while nothing ails: an operator's, or its checks', or as configured.", *_REAL
)
WANTED = _gauge("server_wanted_weight", "Weight that the table is to have now; 0 also where no row is wanted.", *_REAL)
ACTUAL = _gauge("server_weight", "Weight that the table has; 0 also where there is no row.", *_REAL)

SERVER = (UP, SINCE, CONFIGURED, FULL, WANTED, ACTUAL)

REASON = _gauge("server_reason", "1 for each reason why a server is not at its configured weight.", *_REAL, "reason")

# --- checks -----------------------------------------------------------------------------------------------------------

_CHECK = (*_REAL, "check")
CHECK_UP = _gauge("check_up", "1 if a check holds its server for up, by rise and fall.", *_CHECK)
DURATION = _gauge("check_duration_seconds", "How long the last answer took.", *_CHECK)
ANSWERED = _gauge("check_timestamp_seconds", "When the last answer came.", *_CHECK)
FAILED = _counter("check_failures", "Answers by which a check failed.", *_CHECK)
UNSURE = _counter("check_inconclusive", "Times that healthd itself could not ask.", *_CHECK)

CHECK = (CHECK_UP, DURATION, ANSWERED, FAILED, UNSURE)

# --- traffic, as the kernel counts it ---------------------------------------------------------------------------------

IPVS = (
    _counter("ipvs_connections", "Connections that the kernel gave to a server or a fallback.", *_REAL),
    _counter("ipvs_incoming_packets", "Packets from clients.", *_REAL),
    _counter("ipvs_outgoing_packets", "Packets to clients; 0 where servers answer by themselves (gate, ipip).", *_REAL),
    _counter("ipvs_incoming_bytes", "Bytes from clients.", *_REAL),
    _counter("ipvs_outgoing_bytes", "Bytes to clients; 0 where servers answer by themselves (gate, ipip).", *_REAL),
    _gauge("ipvs_active_connections", "Connections that are open (TCP: established).", *_REAL),
    _gauge("ipvs_inactive_connections", "Connections that are opening, closing or remembered.", *_REAL),
    _gauge("ipvs_persistent_connections", "Clients that are held to a server by persistence.", *_REAL),
)

ALL = (*DAEMON, *TABLE, *PROBING, *HOOKS, *LOG, *OVERRIDES, *SERVICES, *SERVER, REASON, *CHECK, *IPVS)
