"""Monitor files: the lines, who has one, and that a file that cannot be written is in nobody's way."""

from __future__ import annotations

import os
import re
import resource
import time
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthd.assignment import Assignment, assign
from healthd.check import Outcome, Reason, Verdict
from healthd.config.schema import Admin, Config, RealServer, ServiceConfig
from healthd.events import Kind
from healthd.health import Health
from healthd.hooks.appender import Appender
from healthd.hooks.monitor import Monitor, escaped, identity, line, said_by
from healthd.model import DestKey, DestSpec, Family, Forwarding, FwmarkKey, Protocol
from healthd.prober.base import Observation
from tests.hooks.samples import sample
from tests.support.builders import DNS, MAIL, A, B, real, service

BOUND = 20.0
AT = 1795332623.5
PID = os.getpid()


@pytest.fixture(autouse=True)
def _utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# --- lines -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "said", "text"),
    [
        ("up", "", "[Sun Nov 22 07:30:23 2026] [16504] http tcp 10.0.0.11 80 1 masq [up] -"),
        ("down", "500 Oh", "[Sun Nov 22 07:30:23 2026] [16504] http tcp 10.0.0.11 80 1 masq [down] 500 Oh"),
        ("up", "a|b\r\nc 5%", "[Sun Nov 22 07:30:23 2026] [16504] http tcp 10.0.0.11 80 1 masq [up] a%7Cb%0D%0Ac 5%25"),
    ],
)
def test_a_line_is_as_ldirectord_writes_it(state, said, text):
    assert line(AT, 16504, "http tcp 10.0.0.11 80 1 masq", state, said) == text.replace("07:30:23", clock())


def clock():
    return time.strftime("%H:%M:%S", time.gmtime(AT))


@pytest.mark.parametrize(
    ("key", "address", "forwarding", "text"),
    [
        (MAIL, "10.0.0.11", Forwarding.MASQ, "smtp tcp 10.0.0.11 8025 7 masq"),
        (DNS, "10.0.0.11", Forwarding.GATE, "smtp udp 10.0.0.11 8025 7 gate"),
        (MAIL, "2001:db8::1", Forwarding.IPIP, "smtp tcp 2001:db8::1 8025 7 ipip"),
        (replace(MAIL, protocol=Protocol.SCTP), "10.0.0.11", Forwarding.GATE, "smtp sctp 10.0.0.11 8025 7 gate"),
        (FwmarkKey(Family.IPV4, 5), "10.0.0.11", Forwarding.GATE, "smtp fwm 10.0.0.11 8025 7 gate"),
    ],
)
def test_what_a_line_calls_a_server(key, address, forwarding, text):
    server = RealServer(DestKey(ip_address(address), 8025), DestSpec(forwarding, 7))
    assert identity("smtp", service(server, key=key), server) == text


@given(st.text())
def test_no_end_of_a_line_can_be_smuggled_in_and_nothing_is_lost(text):
    shown = escaped(text)
    assert len(f"x{shown}x".splitlines()) == 1
    assert shown.isprintable()
    assert "|" not in shown
    back = re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), shown.encode())
    assert back.decode("utf-8", "surrogatepass") == text


@given(st.text(st.characters(codec="utf-8")) | st.text("%|\r\n\x85\u2028 a"), st.sampled_from(Outcome))
def test_a_verdict_is_one_line(text, outcome):
    shown = line(AT, 1, "x", "up", said_by(Verdict(outcome, Reason.TIMEOUT, text)))
    assert len(shown.splitlines()) == 1
    assert re.fullmatch(r"\[[^]]+\] \[1\] x \[up\] .+", shown)


# --- who has one -------------------------------------------------------------------------------------------------


def assigned(*services: ServiceConfig) -> Assignment:
    return assign(services, Assignment(), {}, lambda ref, plan: Health())


def observation(assignment, dest, verdict, at=5.0):
    """What the probe of a server found."""
    (probe,) = [probe for probe in assignment.probes if probe.target.address == dest.address]
    return Observation(probe.id, verdict, at, 0.1, tuple((watch.id, watch.health) for watch in probe.watches))


class Kept:
    """A `Monitor` whose lines are written, and what stands in its files."""

    def __init__(self, *services: ServiceConfig) -> None:
        self.appender = Appender()
        self.monitor = Monitor(lambda: 100.0, lambda: AT + 100.0, self.appender)
        self.monitor.configure(Config(services=services))
        self.assignment = assigned(*services)

    def saw(self, dest, outcome, reason=Reason.OK, detail="", at=0.0):
        """A probe found something."""
        self.monitor.observed(
            self.assignment, [observation(self.assignment, dest, Verdict(outcome, reason, detail), at)]
        )

    def lines(self, path):
        """What stands behind the time and our process id."""
        self.appender.close(BOUND)
        head = f"[{time.ctime(AT)}] [{PID}] "
        return [one.removeprefix(head) for one in path.read_text().splitlines()]


def test_every_verdict_of_a_server_is_a_line_in_the_files_of_its_services(tmp_path):
    www = replace(service(real(A, 10), real(B, 5)), monitor_file=tmp_path / "www")
    mail = replace(service(real(A, 3), key=MAIL, name="mail"), monitor_file=tmp_path / "mail")
    dns = service(real(A, 3), key=DNS, name="dns")
    kept = Kept(www, mail, dns)
    kept.saw(A, Outcome.PASS, detail="200 OK")
    kept.saw(B, Outcome.FAIL, Reason.TIMEOUT)
    kept.saw(B, Outcome.INCONCLUSIVE, Reason.LOCAL, "too many open files")
    assert kept.lines(tmp_path / "www") == [
        "ask tcp 10.0.0.11 80 10 masq [up] 200 OK",
        "ask tcp 10.0.0.12 80 5 masq [down] timeout",
        "ask tcp 10.0.0.12 80 5 masq [unknown] too many open files",
    ]
    assert kept.lines(tmp_path / "mail") == ["ask tcp 10.0.0.11 80 3 masq [up] 200 OK"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mail", "www"]


def test_a_line_bears_the_time_of_its_verdict_and_lines_are_in_that_order(tmp_path):
    kept = Kept(replace(service(real(A), real(B)), monitor_file=tmp_path / "www"))
    batch = [
        observation(kept.assignment, dest, Verdict(Outcome.PASS), at) for dest, at in ((A, 1.0), (A, 61.0), (B, 31.0))
    ]
    kept.monitor.observed(kept.assignment, batch)
    kept.appender.close(BOUND)
    times = [one[1:25] for one in (tmp_path / "www").read_text().splitlines()]
    assert times == [time.ctime(AT + seconds) for seconds in (1, 31, 61)]


def test_a_reload_changes_who_has_a_line_and_what_it_calls_the_server(tmp_path):
    before = replace(service(real(A, 10)), monitor_file=tmp_path / "www")
    kept = Kept(before)
    kept.saw(A, Outcome.PASS)
    kept.monitor.configure(Config(services=(replace(before, reals=(real(A, 20),)),)))
    kept.saw(A, Outcome.PASS)
    kept.monitor.configure(Config(services=(replace(before, monitor_file=None),)))
    kept.saw(A, Outcome.PASS)
    assert kept.lines(tmp_path / "www") == [f"ask tcp 10.0.0.11 80 {weight} masq [up] -" for weight in (10, 20)]


@pytest.mark.parametrize(("admin", "lines"), [(Admin.MAINTENANCE, 1), (Admin.DRAINED, 0), (Admin.ENABLED, 0)])
def test_a_server_in_maintenance_is_a_line(tmp_path, admin, lines):
    kept = Kept(replace(service(real(A, 10), real(B, unchecked=True)), name="www", monitor_file=tmp_path / "www"))
    (tmp_path / "www").touch()
    for dest in (A, B):
        kept.monitor.event(sample(Kind.SERVER_ADMIN, at=AT, service="www", real=str(dest), detail=admin.value))
    kept.monitor.event(sample(Kind.SERVER_ADMIN, at=AT, service="other", detail=admin.value))
    assert (
        kept.lines(tmp_path / "www")
        == [
            "ask tcp 10.0.0.11 80 10 masq [down] Server in maintenance",
            "off tcp 10.0.0.12 80 10 masq [down] Server in maintenance",
        ][: 2 * lines]
    )


def test_of_a_server_that_is_in_maintenance_already_every_probe_is_such_a_line(tmp_path):
    """As ldirectord writes one each time that it passes it over; what was found would read as if it took traffic."""
    www = replace(service(real(A, 10), real(B, 5)), monitor_file=tmp_path / "www")
    kept = Kept(www)
    kept.monitor.attach(lambda ref: ref == (www.key, A))
    kept.saw(A, Outcome.PASS)
    kept.saw(A, Outcome.FAIL, Reason.TIMEOUT)
    kept.saw(B, Outcome.PASS)
    assert kept.lines(tmp_path / "www") == [
        "ask tcp 10.0.0.11 80 10 masq [down] Server in maintenance",
        "ask tcp 10.0.0.11 80 10 masq [down] Server in maintenance",
        "ask tcp 10.0.0.12 80 5 masq [up] -",
    ]


async def test_where_nobody_has_a_file_nothing_is_started(tmp_path):
    kept = Kept(service(real(A)))
    kept.saw(A, Outcome.PASS)
    assert kept.appender._thread is None
    await kept.monitor.close(BOUND)


# --- the files ---------------------------------------------------------------------------------------------------


def until(condition):
    """Wait until something is so."""
    end = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def written(appender):
    """Wait until nothing waits; the counts."""
    until(lambda: not appender.counts().queued)
    return appender.counts()


def test_a_file_that_is_moved_away_is_made_anew(tmp_path):
    appender, file = Appender(), tmp_path / "log"
    appender.put({file: ["one"]})
    written(appender)
    file.rename(tmp_path / "log.1")
    appender.put({file: ["two", "three"]})
    assert written(appender).written == 3
    assert ((tmp_path / "log.1").read_text(), file.read_text()) == ("one\n", "two\nthree\n")
    appender.close(BOUND)


def test_what_is_there_already_stays(tmp_path):
    (tmp_path / "log").write_text("before\n")
    appender = Appender()
    appender.put({tmp_path / "log": ["after"]})
    appender.close(BOUND)
    assert (tmp_path / "log").read_text() == "before\nafter\n"


def test_a_folder_that_is_missing_is_told_once_and_lines_are_written_once_it_is_there(tmp_path, caplog):
    appender, file = Appender(), tmp_path / "folder" / "log"
    for number in range(3):
        appender.put({file: [str(number)], tmp_path / "other": [str(number)]})
        written(appender)
    assert caplog.text.count("cannot be written: No such file or directory") == 1
    file.parent.mkdir()
    appender.put({file: ["3"]})
    counts = written(appender)
    assert (counts.written, counts.lost) == (4, 3)
    assert "No such file" in counts.last_error
    assert "is written again; 3 lines of it were lost" in caplog.text
    assert file.read_text() == "3\n"
    appender.close(BOUND)


def test_a_disk_that_is_full_costs_lines_and_nothing_else(caplog):
    appender = Appender()
    appender.put({Path("/dev/full"): ["one", "two"]})
    assert written(appender).lost == 2
    assert "No space left on device" in caplog.text
    appender.close(BOUND)


def test_after_half_a_line_the_next_one_begins_on_its_own(tmp_path):
    """A limit on the size of files cuts a line as a full disk does."""
    appender, file = Appender(), tmp_path / "log"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, hard))
    try:
        appender.put({file: ["one", "two"]})
        counts = written(appender)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (counts.lost, file.read_text()) == (2, "one\ntw")
    appender.put({file: ["three"]})
    written(appender)
    assert file.read_text() == "one\ntw\nthree\n"
    appender.close(BOUND)


def test_a_pipe_that_nobody_reads_holds_nobody(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    appender = Appender()
    appender.put({tmp_path / "pipe": ["one"]})
    assert written(appender).lost == 1
    appender.close(BOUND)


def test_lines_without_room_are_dropped_and_counted(tmp_path):
    appender = Appender(room=3)
    appender.put({tmp_path / "one": ["1", "2"], tmp_path / "two": ["3", "4", "5"]})
    counts = appender.counts()
    assert counts.dropped == 2
    appender.close(BOUND)
    assert (tmp_path / "two").read_text() == "3\n"


def test_nothing_is_taken_after_the_end(tmp_path):
    appender = Appender()
    appender.close(BOUND)
    appender.put({tmp_path / "log": ["late"]})
    assert appender.counts().dropped == 1
    assert not (tmp_path / "log").exists()
