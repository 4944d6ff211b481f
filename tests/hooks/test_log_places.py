"""Real files, pipes and datagram sockets take the log: rotated, full, restarted, stuck."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from healthd.config.schema import LogSettings
from healthd.events import Kind
from healthd.hooks import LogHook
from healthd.log.setup import Outlets, configure

from .samples import sample

GRACE = 30.0


class Bench:
    """A log of its own root logger, with a pipe for standard error and sockets where the machine's would be."""

    def __init__(self, folder):
        self.folder = folder
        self.stderr, self._write = os.pipe()
        os.set_blocking(self.stderr, False)
        self.outlets = Outlets(self._write, "", folder / "journal", folder / "syslog")
        self.root = logging.getLogger("healthd.test")
        self.root.propagate = False
        self.log = None

    def configure(self, to, **changes):
        """Begin to log there."""
        room = changes.pop("room", 10_000)
        self.log = configure(LogSettings(to=str(to), **changes), outlets=self.outlets, root=self.root, room=room)
        return self.log

    def say(self, *messages):
        """Log lines and wait until they are where they go."""
        for message in messages:
            self.root.warning(message)
        assert self.log.flush(GRACE)

    def spilled(self):
        """What came out of standard error since the last look."""
        try:
            return os.read(self.stderr, 1 << 20).decode()
        except BlockingIOError:
            return ""

    def close(self):
        """Release all."""
        if self.log is not None:
            self.log.close(GRACE)
        self.root.propagate = True
        self.root.setLevel(logging.NOTSET)
        os.close(self.stderr)
        os.close(self._write)


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.close()


class Receiver:
    """A datagram socket where journald or syslog would have theirs."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path.unlink(missing_ok=True)
        self.socket.bind(str(path))
        self.socket.settimeout(GRACE)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def take(self):
        """The next datagram."""
        return self.socket.recv(1 << 20)


def messages(path):
    """The messages of the lines of a file."""
    return [line.split("healthd.test: ")[1] for line in path.read_text().splitlines() if "healthd.test: " in line]


def test_a_file_gets_every_line(bench, tmp_path):
    bench.configure(tmp_path / "log")
    bench.say("one", "two")

    assert messages(tmp_path / "log") == ["one", "two"]
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o640 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("how", ["rename", "delete"])
def test_a_rotated_file_is_opened_again_by_itself(bench, tmp_path, how):
    bench.configure(tmp_path / "log")
    bench.say("before")
    if how == "rename":
        (tmp_path / "log").rename(tmp_path / "log.1")
    else:
        (tmp_path / "log").unlink()
    bench.say("after")

    assert messages(tmp_path / "log") == ["after"]


def test_a_file_is_opened_again_on_request(bench, tmp_path):
    bench.configure(tmp_path / "log")
    bench.say("before")
    before = bench.log.stats()
    bench.log.reopen()
    bench.say("after")

    assert messages(tmp_path / "log") == ["before", "after"]
    assert bench.log.stats().written == before.written + 1


def test_lines_go_to_standard_error_while_the_file_cannot_be_written_and_it_says_so_when_it_is_back(bench, tmp_path):
    folder = tmp_path / "missing"
    bench.configure(folder / "log")
    bench.say("one", "two")
    spilled = bench.spilled()
    stats = bench.log.stats()
    folder.mkdir()
    bench.say("three")

    assert "cannot write to" in spilled.splitlines()[0]
    assert "No such file or directory" in spilled.splitlines()[0]
    assert [line.split("healthd.test: ")[1] for line in spilled.splitlines()[1:]] == ["one", "two"]
    assert stats.away
    assert "No such file or directory" in stats.last_error
    lines = (folder / "log").read_text().splitlines()
    assert lines[0].endswith("healthd.test: three")
    assert lines[1].endswith("2 lines are missing here")
    assert not bench.log.stats().away


def test_a_full_disk_does_not_stop_the_log(bench):
    bench.configure("/dev/full")
    bench.say("one", "two")

    assert "No space left on device" in bench.spilled()
    assert bench.log.stats().written == 0
    assert bench.log.stats().dropped == 0


def test_after_a_line_that_was_cut_the_next_one_begins_on_its_own(tmp_path):
    """In a process of its own, because the size of its files is limited."""
    program = f"""
import resource
from pathlib import Path
from healthd.log.entry import Entry
from healthd.log.places import FilePlace
place = FilePlace(Path({str(tmp_path / "log")!r}), lambda entry: entry.message.encode() + b"\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
place.write(Entry(0, 0, "", "first"))
for _ in range(2):
    try:
        place.write(Entry(0, 0, "", "second"))
    except OSError as error:
        print(error.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
place.write(Entry(0, 0, "", "third"))
place.write(Entry(0, 0, "", "fourth"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert len(done.stdout.splitlines()) == 2
    assert (tmp_path / "log").read_text() == "first\nseco\nthird\nfourth\n"


def test_standard_error_gets_lines_of_text_or_json(bench):
    bench.configure("stderr")
    bench.say("one")
    bench.log.apply(LogSettings(to="stderr", format="json"))
    bench.say("two")

    text, record = bench.spilled().splitlines()
    assert text.endswith("warning healthd.test: one")
    assert json.loads(record)["message"] == "two"


def test_standard_error_that_journald_reads_gets_severities_and_no_times(bench):
    stderr = os.fstat(bench.outlets.stderr)
    bench.outlets = Outlets(bench.outlets.stderr, f"{stderr.st_dev}:{stderr.st_ino}")
    bench.configure("stderr")
    bench.say("one")

    assert bench.spilled() == "<4>healthd.test: one\n"


def test_a_reader_of_standard_error_that_stands_still_keeps_nobody_waiting_and_learns_what_it_missed(bench):
    bench.configure("stderr", room=100)
    for number in range(20_000):
        bench.root.warning("line %d of many that nobody reads", number)
    stuck = bench.log.stats()
    assert stuck.dropped > 0
    assert 0 < stuck.queued <= 100

    read = []
    end = time.monotonic() + GRACE
    while not bench.log.flush(0.01):
        assert time.monotonic() < end
        read.append(bench.spilled())
    read.append(bench.spilled())
    text = "".join(read)

    assert text.count("\n") == bench.log.stats().written
    assert text.splitlines()[-1].endswith("line 19999 of many that nobody reads")
    told = [int(line.split(": ")[2].split()[0]) for line in text.splitlines() if "lines were dropped" in line]
    assert sum(told) == bench.log.stats().dropped


def test_a_stuck_log_keeps_the_newest_state_of_every_server(bench):
    bench.configure("stderr", room=10)
    hook = LogHook(bench.root)
    for number in range(2000):
        for real in ("10.0.0.1:80", "10.0.0.2:80"):
            hook.event(sample((Kind.SERVER_UP, Kind.SERVER_DOWN)[number % 2], real=real, detail=f"number {number}"))
    for _ in range(500):
        bench.root.warning("chatter " * 20)
    read = []
    end = time.monotonic() + GRACE
    while not bench.log.flush(0.01):
        assert time.monotonic() < end
        read.append(bench.spilled())
    text = "".join([*read, bench.spilled()])

    assert bench.log.stats().dropped > 0
    assert sum("number 1999" in line for line in text.splitlines()) == 2


def test_journald_gets_fields(bench, tmp_path):
    with Receiver(tmp_path / "journal") as journald:
        bench.configure("journald")
        LogHook(bench.root).event(sample(Kind.SERVER_DOWN))
        bench.root.error("plain", extra={"errno": 13})
        event, plain = journald.take(), journald.take()

    assert b"HEALTHD_REAL=10.0.0.11:80\n" in event
    assert b"HEALTHD_KIND=server-down\n" in event
    assert b"MESSAGE_ID=" in event
    assert b"PRIORITY=3\n" in plain
    assert b"HEALTHD_ERRNO=13\n" in plain


def test_an_entry_too_large_for_a_datagram_goes_to_journald_in_a_sealed_memory_file(bench, tmp_path):
    with Receiver(tmp_path / "journal") as journald:
        bench.configure("journald")
        bench.root.warning("large", extra={"much": "x" * 2_000_000})
        data, fds, _, _ = socket.recv_fds(journald.socket, 1 << 20, 1)
        with os.fdopen(fds[0], "rb") as file:
            file.seek(0)
            content = file.read()
            with pytest.raises(PermissionError):
                os.ftruncate(fds[0], 0)

    assert data == b""
    assert b"HEALTHD_MUCH=" + b"x" * 2_000_000 + b"\n" in content


def test_a_journald_that_was_started_again_is_followed_without_losing_a_line(bench, tmp_path):
    bench.configure("journald")
    with Receiver(tmp_path / "journal") as journald:
        bench.say("one")
        assert b"one" in journald.take()
    with Receiver(tmp_path / "journal") as journald:
        bench.say("two")
        assert b"two" in journald.take()
    assert bench.spilled() == ""


def test_lines_go_to_standard_error_while_journald_is_away(bench, tmp_path):
    bench.configure("journald")
    bench.say("lost on nobody")
    assert "lost on nobody" in bench.spilled()
    with Receiver(tmp_path / "journal") as journald:
        bench.say("again")
        assert b"again" in journald.take()
        assert b"1 lines are missing here" in journald.take()


def test_a_journald_that_takes_nothing_delays_nobody_for_ever(bench, tmp_path):
    with Receiver(tmp_path / "journal") as journald:
        bench.configure("journald")
        bench.say(*(f"line {number} of many" for number in range(1000)))
        stats = bench.log.stats()

        assert stats.away
        assert stats.written + stats.spilled + stats.dropped == 1000 + 1
        for _ in range(stats.written):
            journald.take()
        bench.say("it reads again")
        assert not bench.log.stats().away


def test_syslog_gets_one_line_with_facility_and_severity(bench, tmp_path):
    with Receiver(tmp_path / "syslog") as syslog:
        bench.configure("syslog", facility="local3")
        bench.root.error("two\nlines %s", "x" * 20_000)
        data = syslog.take()
        bench.log.apply(LogSettings(to="syslog", format="json"))
        bench.root.info("as an object")
        record = syslog.take().partition(b"]: ")[2]

    assert data.startswith(b"<155>")
    assert f"healthd[{os.getpid()}]: healthd.test: two\\nlines xxx".encode() in data
    assert len(data) == 8000
    assert json.loads(record)["message"] == "as an object"


def test_a_reload_changes_place_and_level_and_loses_no_line(bench, tmp_path):
    bench.configure(tmp_path / "old")
    bench.root.warning("one")
    bench.log.apply(LogSettings(to=str(tmp_path / "new"), level="error"))
    bench.root.warning("not wanted")
    bench.root.error("two")
    assert bench.log.flush(GRACE)

    old = messages(tmp_path / "old") if (tmp_path / "old").exists() else []
    assert old + messages(tmp_path / "new") == ["one", "two"]
    assert bench.log.stats().to == str(tmp_path / "new")


@pytest.mark.parametrize(
    "changes", [{"to": "nowhere"}, {"to": "stderr", "format": "xml"}, {"facility": "local9"}, {"level": "loud"}]
)
def test_settings_that_make_no_sense_are_refused_and_change_nothing(bench, tmp_path, changes):
    bench.configure(tmp_path / "log")
    with pytest.raises(ValueError, match=r"nowhere|xml|local9|loud"):
        bench.log.apply(LogSettings(**changes))
    bench.say("still here")

    assert messages(tmp_path / "log") == ["still here"]


def test_lines_of_many_threads_stay_whole(bench, tmp_path):
    bench.configure(tmp_path / "log")
    threads = [
        threading.Thread(target=lambda n=n: [bench.root.warning("%d-%d", n, i) for i in range(200)]) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.log.flush(GRACE)

    assert sorted(messages(tmp_path / "log")) == sorted(f"{n}-{i}" for n in range(8) for i in range(200))


def test_close_writes_what_waits_and_later_lines_do_no_harm(bench, tmp_path):
    bench.configure(tmp_path / "log")
    for number in range(500):
        bench.root.warning("%d", number)
    bench.log.close(GRACE)
    bench.log = None
    bench.root.warning("too late")

    assert messages(tmp_path / "log") == [str(number) for number in range(500)]


def test_lines_of_libraries_arrive_in_the_same_log(tmp_path):
    """By the real root logger, as the daemon configures it."""
    level = logging.getLogger().level
    log = configure(LogSettings(to=str(tmp_path / "log"), format="json"))
    try:
        logging.getLogger("some.library").warning("odd", extra={"real": "10.0.0.11:80"})
        logging.getLogger("aiohttp.access").info("GET /status")
        assert log.flush(GRACE)
    finally:
        log.close(GRACE)
        logging.getLogger().setLevel(level)

    (line,) = (tmp_path / "log").read_text().splitlines()
    record = json.loads(line)
    assert (record["logger"], record["message"], record["real"]) == ("some.library", "odd", "10.0.0.11:80")
