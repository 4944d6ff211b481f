"""Events in the words of ldirectord: letter for letter where it has some, and in the frames that it uses."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import time
from dataclasses import replace

import pytest

from healthd import narrate
from healthd.config.schema import Config, LogSettings, Settings
from healthd.events import Event, Kind
from healthd.health import Phase
from healthd.hooks import LogHook
from healthd.hooks.ldirectord_words import VERSION, ended, lines, virtual_of
from healthd.log.setup import Outlets, configure
from healthd.model import DestSpec, Forwarding
from healthd.ops import AddDest, DelDest, RowOp, SetDest

from .samples import AT, FULL, KEY, LATE, LESS, NONE, PASSED, REAL, SERVER, WWW, sample

GRACE = 30.0
ROUTED_NONE = DestSpec(Forwarding.MASQ, 0)
R, V = "10.0.0.11:80", "192.0.2.80:80"
DOWN = "www: 10.0.0.11:80 is down (timeout: no answer within 1 s), "


def became(phase: Phase, row: DestSpec | None, *ops: RowOp) -> Event:
    """A server came up or went down, and that was done to its row."""
    verdict = PASSED if phase is Phase.UP else LATE
    before = Phase.DOWN if phase is Phase.UP else Phase.UP
    change = narrate.Transition(before, phase, verdict)
    return narrate.server_changed(WWW, REAL, change, row, narrate.effects(ops), AT)


def became_otherwise(phase: Phase, before: DestSpec | None, row: DestSpec | None, *ops: RowOp) -> Event:
    """A server's row became another one."""
    return narrate.row_changed(WWW, REAL, phase, (before, row), None, narrate.effects(ops), AT)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (became(Phase.UP, FULL, AddDest(KEY, SERVER, FULL)), [f"Added real server: {R} ({V}) (Weight set to 10)"]),
        (became(Phase.UP, FULL, SetDest(KEY, SERVER, FULL)), [f"Restored real server: {R} ({V}) (Weight set to 10)"]),
        (
            became(Phase.DOWN, NONE, SetDest(KEY, SERVER, NONE)),
            [f"Quiescent real server: {R} ({V}) (Weight set to 0)", f"{DOWN}weight 0"],
        ),
        (
            became(Phase.DOWN, NONE, AddDest(KEY, SERVER, NONE)),
            [f"Readd Quiescent real server: {R} ({V}) (Weight set to 0)", f"{DOWN}weight 0"],
        ),
        (became(Phase.DOWN, None, DelDest(KEY, SERVER)), [f"Deleted real server: {R} ({V})", f"{DOWN}no row"]),
        (
            sample(Kind.SERVER_WEIGHT),
            [
                f"Restored real server: {R} ({V}) (Weight set to 5)",
                "www: 10.0.0.11:80 weight 10 -> 5 (ok: the script asks for 5)",
            ],
        ),
        (
            sample(Kind.SERVER_CHANGED),
            [f"Restored real server: {R} ({V}) (Weight set to 10)", "www: 10.0.0.11:80 forward gate -> masq"],
        ),
        (
            became_otherwise(Phase.DOWN, NONE, ROUTED_NONE, SetDest(KEY, SERVER, ROUTED_NONE)),
            [f"Quiescent real server: {R} ({V}) (Weight set to 0)", "www: 10.0.0.11:80 forward gate -> masq"],
        ),
        (
            became_otherwise(Phase.DOWN, NONE, None, DelDest(KEY, SERVER)),
            [f"Deleted real server: {R} ({V})", "www: 10.0.0.11:80 weight 0 -> no row"],
        ),
        (
            became_otherwise(Phase.DOWN, None, NONE, AddDest(KEY, SERVER, NONE)),
            [f"Readd Quiescent real server: {R} ({V}) (Weight set to 0)", "www: 10.0.0.11:80 no row -> weight 0"],
        ),
        (
            became_otherwise(Phase.UP, None, FULL, AddDest(KEY, SERVER, FULL)),
            [f"Added real server: {R} ({V}) (Weight set to 10)", "www: 10.0.0.11:80 no row -> weight 10"],
        ),
        (
            sample(Kind.SERVER_ADMIN),
            [f"Quiescent real server: {R} ({V}) (Weight set to 0)", "www: 10.0.0.11:80 is now drained, weight 0"],
        ),
        (
            sample(Kind.SERVER_FAILING),
            [
                f"Soft failure real server: {R} (tcp:{V}) failure 1/3",
                "www: 10.0.0.11:80 has failed 1 of 3 times in a row (timeout: no answer within 1 s), it stays up",
            ],
        ),
        (
            sample(Kind.SERVER_FAILING, virtual="fwmark 7/ipv6", message="own"),
            [f"Soft failure real server: {R} (fwm6:7) failure 1/3", "own"],
        ),
        (sample(Kind.SERVER_STEADY), [f"Resetting soft failure count: {R} (tcp:{V})"]),
        (sample(Kind.SERVER_REMOVED), [f"Purged real server (start): {R} ({V})"]),
        (sample(Kind.FALLBACK_ON), [f"Added fallback server: 127.0.0.1:8080 ({V}) (Weight set to 1)"]),
        (sample(Kind.FALLBACK_OFF), [f"Deleted fallback server: 127.0.0.1:8080 ({V})"]),
        (
            sample(Kind.FALLBACK_CHANGED),
            [
                f"Restored fallback server: 127.0.0.1:8080 ({V}) (Weight set to 2)",
                "www: fallback 127.0.0.1:8080 weight 1 -> 2",
            ],
        ),
        (sample(Kind.SERVICE_ADDED), [f"Added virtual server: {V}"]),
        (
            sample(Kind.SERVICE_CHANGED),
            [f"Changed virtual server: {V}", "www: 192.0.2.80:80/tcp scheduler wrr -> wlc"],
        ),
        (sample(Kind.SERVICE_REMOVED), [f"Purged virtual server (start): {V}"]),
        (
            sample(Kind.STARTED),
            [
                "Invoking ldirectord invoked as: /usr/sbin/ldirectord www.cf start ",
                f"Starting {VERSION} as daemon",
                "healthd 0.1.0 keeps 12 services",
            ],
        ),
        (
            sample(Kind.RELOADED),
            ["Reloading Linux Director Daemon config on signal", "the configuration was read again: 12 services"],
        ),
        (
            sample(Kind.RELOADED, reason="/etc/ha.d/www.cf"),
            [
                "Configuration file '/etc/ha.d/www.cf' has changed on disk",
                " - reread new configuration",
                "the configuration was read again: 12 services",
            ],
        ),
        (
            sample(Kind.CHANGE_IGNORED),
            ["Configuration file '/etc/healthd/healthd.toml' has changed on disk", " - ignore new configuration"],
        ),
        (
            sample(Kind.RELOAD_FAILED),
            [
                "Reloading Linux Director Daemon config on signal",
                "reload refused: www.toml:4:1: error: unknown key 'pot'; nothing was changed",
            ],
        ),
    ],
    ids=lambda value: value[0].split(":")[0] if isinstance(value, list) else "",
)
def test_what_ldirectord_has_words_for_is_said_in_them(event, said):
    assert list(lines(event)) == said


def test_what_a_change_means_is_told_by_what_was_done_to_the_table_and_not_guessed():
    """A server that was found as it should be, and one that never had a row: ldirectord says nothing of them."""
    for event in (became(Phase.UP, FULL), became(Phase.DOWN, None), became(Phase.DOWN, NONE)):
        assert lines(event) == (event.message,)


@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.value)
def test_no_event_is_left_out_and_every_line_is_one(kind):
    said = lines(sample(kind))
    assert said
    assert all(line and "\n" not in line for line in said)


@pytest.mark.parametrize("kind", [Kind.TABLE_LOST, Kind.PROBER_LOST, Kind.DRIFT, Kind.ROW_REFUSED, Kind.SERVER_UNSURE])
def test_what_ldirectord_has_no_words_for_is_the_sentence_of_healthd(kind):
    assert lines(sample(kind)) == (sample(kind).message,)


def test_what_goes_when_the_daemon_stops_is_purged_at_the_stop():
    assert lines(sample(Kind.SERVICE_REMOVED), stopping=True) == (f"Purged virtual server (stop): {V}",)
    assert lines(sample(Kind.SERVER_REMOVED), stopping=True) == (f"Purged real server (stop): {R} ({V})",)


def test_the_last_line_names_the_signal():
    assert ended(sample(Kind.STOPPING, detail="TERM")) == "Linux Director Daemon terminated on signal: TERM"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("192.0.2.80:80/tcp", "192.0.2.80:80"),
        ("[2001:db8::80]:53/udp", "[2001:db8::80]:53"),
        ("fwmark 7/ipv4", "7"),
        ("fwmark 7/ipv6", "7"),
    ],
)
def test_virtual_services_are_written_as_ldirectord_writes_them(ours, theirs):
    assert virtual_of(ours) == theirs


def test_expressions_that_match_a_line_to_its_end_go_on_to_match():
    """What somebody may have in a log watcher today, anchored at both ends."""
    said = "\n".join(line for event in (became(Phase.DOWN, None, DelDest(KEY, SERVER)),) for line in lines(event))
    assert re.search(r"^Deleted real server: (\S+) \((\S+)\)$", said, re.MULTILINE)
    assert re.search(r"^Starting Linux Director v\S+ as daemon$", lines(sample(Kind.STARTED))[1])


# --- frames -----------------------------------------------------------------------------------------------------

STAMP = time.ctime(AT)
LINE = f"Added real server: {R} ({V}) (Weight set to 10)"
STYLE = LogSettings(style="ldirectord")


class Bench:
    """A log in ldirectord's style, of its own root logger."""

    def __init__(self, settings, folder):
        self.reading, self.writing = os.pipe()
        self.outlets = Outlets(self.writing, "", folder / "journal", folder / "syslog", self.writing)
        self.root = logging.Logger("healthd.test", logging.DEBUG)
        self.settings = settings
        self.hook = LogHook(self.root)
        self.hook.configure(Config(Settings(log=settings)))

    def tell(self, *events):
        """Log these; what came out of standard error and output."""
        log = configure(self.settings, outlets=self.outlets, root=self.root, instance="www.cf")
        for event in events:
            self.hook.event(event)
        log.close(GRACE)
        os.set_blocking(self.reading, False)
        try:
            return os.read(self.reading, 1 << 16).decode()
        except BlockingIOError:
            return ""

    def close(self):
        """Release all."""
        os.close(self.reading)
        os.close(self.writing)


@pytest.fixture
def bench(tmp_path):
    made = []

    def bench(**settings):
        made.append(Bench(replace(STYLE, **settings), tmp_path))
        return made[-1]

    yield bench
    for one in made:
        one.close()


ADDED = became(Phase.UP, FULL, AddDest(KEY, SERVER, FULL))


def test_a_file_has_time_instance_and_number_before_the_message(bench, tmp_path):
    bench(to=str(tmp_path / "log")).tell(ADDED)
    assert (tmp_path / "log").read_text() == f"[{STAMP}|www.cf|{os.getpid()}] {LINE}\n"


def test_standard_output_has_the_time_alone_and_standard_error_nothing(bench):
    assert bench(to="stdout").tell(ADDED) == f"[{STAMP}] {LINE}\n"
    assert bench(to="stderr").tell(ADDED) == f"{LINE}\n"


def test_a_stream_that_journald_reads_has_severities(bench):
    one = bench(to="stdout")
    status = os.fstat(one.writing)
    one.outlets = replace(one.outlets, journal_stream=f"{status.st_dev}:{status.st_ino}")
    assert one.tell(ADDED) == f"<6>{LINE}\n"


def test_syslog_has_the_message_under_the_name_of_ldirectord(bench, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(tmp_path / "syslog"))
        syslog.settimeout(GRACE)
        bench(to="syslog", facility="local3").tell(ADDED)
        data = syslog.recv(1 << 16).decode()
    assert data.startswith("<158>")
    assert data.endswith(f" ldirectord[{os.getpid()}]: {LINE}")


def test_journald_has_the_message_and_all_fields(bench, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.settimeout(GRACE)
        bench(to="journald").tell(ADDED)
        fields = journal.recv(1 << 16).decode().splitlines()
    assert f"MESSAGE={LINE}" in fields
    assert "SYSLOG_IDENTIFIER=ldirectord" in fields
    assert f"HEALTHD_REAL={R}" in fields


def test_json_has_the_words_as_message_and_all_fields(bench, tmp_path):
    bench(to=str(tmp_path / "log"), format="json").tell(ADDED)
    record = json.loads((tmp_path / "log").read_text())
    assert (record["message"], record["real"], record["weight"]) == (LINE, R, 10)


def test_what_a_server_answers_cannot_forge_a_line(bench, tmp_path):
    forged = replace(sample(Kind.SERVER_UNSURE), message="it says\n[Sun Nov 22 07:36:28 2026|x|1] Added\x1b[2J")
    bench(to=str(tmp_path / "log")).tell(forged)
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.endswith(r"it says\n[Sun Nov 22 07:36:28 2026|x|1] Added\x1b[2J")


def test_a_traceback_follows_in_lines_that_begin_with_a_blank(bench, tmp_path):
    one = bench(to=str(tmp_path / "log"))
    log = configure(one.settings, outlets=one.outlets, root=one.root, instance="www.cf")
    try:
        raise ValueError("what a pity")
    except ValueError:
        one.root.exception("it broke")
    log.close(GRACE)
    first, *rest = (tmp_path / "log").read_text().splitlines()
    assert first.endswith("] it broke")
    assert rest[-1] == "    ValueError: what a pity"
    assert all(line.startswith("    ") for line in rest)


async def test_the_last_line_of_a_daemon_that_was_told_to_stop_comes_when_all_is_done(bench, tmp_path):
    one = bench(to=str(tmp_path / "log"))
    log = configure(one.settings, outlets=one.outlets, root=one.root, instance="www.cf")
    for event in (sample(Kind.STOPPING, detail="INT"), sample(Kind.SERVICE_REMOVED)):
        one.hook.event(event)
    await one.hook.close(GRACE)
    log.close(GRACE)
    said = [line.partition("] ")[2] for line in (tmp_path / "log").read_text().splitlines()]
    assert said == [
        "healthd stops, stop policy leave",
        f"Purged virtual server (stop): {V}",
        "Linux Director Daemon terminated on signal: INT",
    ]


def test_a_reload_may_change_the_style(bench, tmp_path):
    one = bench(to=str(tmp_path / "log"))
    log = configure(one.settings, outlets=one.outlets, root=one.root, instance="www.cf")
    one.hook.event(ADDED)
    assert log.flush(GRACE)
    plain = replace(one.settings, style="healthd")
    log.apply(plain)
    one.hook.configure(Config(Settings(log=plain)))
    one.hook.event(ADDED)
    log.close(GRACE)
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first.endswith(LINE)
    assert "server-up: www: 10.0.0.11:80 is up (ok: 200 OK), weight 10 | kind=server-up" in second


def test_a_style_that_does_not_exist_is_refused(bench):
    with pytest.raises(ValueError, match="unknown style 'lvs'"):
        bench(style="lvs").tell(ADDED)


def test_weights_are_those_that_the_table_has():
    assert lines(became(Phase.UP, LESS, SetDest(KEY, SERVER, LESS)))[0].endswith("(Weight set to 5)")
