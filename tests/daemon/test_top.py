"""`healthd top` on a terminal, against a real daemon."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from healthd.commands.top import may_write
from healthd.control import ask
from tests.daemon.conftest import Listener, RunningDaemon, service_text
from tests.top.terminal import Terminal

OF_THE_KEYS = "? help"


@pytest.fixture
def daemon(write, start, listeners) -> RunningDaemon:
    """Two services with the same two servers, all of them up."""
    write(service_text("www", listeners), service_text("mail", listeners, "192.0.2.81:25"))
    daemon = start()
    daemon.until(lambda: all_have(daemon, 7), "all servers are up")
    return daemon


def all_have(daemon: RunningDaemon, weight: int) -> bool:
    weights = daemon.weights()
    return bool(weights) and all(each == weight for each in weights.values())


@pytest.fixture
def top(tmp_path) -> Iterator[Callable[..., Terminal]]:
    """Starts `healthd top` on a terminal, for the daemon of this test's folder."""
    running: list[Terminal] = []

    def top(**others) -> Terminal:
        running.append(Terminal(*command(tmp_path), **others))
        return running[-1]

    yield top
    for terminal in running:
        terminal.close()


def command(folder: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "healthd", "top", "-s", str(folder / "control.sock"))


def named(listener: Listener) -> str:
    return f"{listener.address}:{listener.port}"


def test_a_server_that_dies_is_seen_in_the_list_the_head_and_the_events(daemon, top, listeners):
    screen = top()
    screen.sees("2 services", "4 servers", "4 up", "0 down")
    screen.sees("www", named(listeners[1]), "up", " 7 ", "tcp connect")

    listeners[1].close()

    screen.sees("4 servers", "2 up", "2 down")
    screen.sees("www", named(listeners[1]), "down", "0/7")
    screen.sees("Z www:", "is down (refused")


def test_everything_has_its_place_on_a_screen_of_80_by_24(daemon, top):
    screen = top()
    screen.until(lambda: screen.lines[7].startswith("www"), "four servers")
    lines = screen.lines

    assert len(lines) == 24
    assert lines[0].startswith("healthd 0.")
    assert "probes/s" in lines[1]
    assert "table ok" in lines[1]
    assert lines[3].startswith("SERVICE▲")
    assert "LAST ANSWER" in lines[3]
    assert "EVENTS" in lines[17]
    assert lines[23].startswith(OF_THE_KEYS)


def test_a_filter_leaves_what_has_its_text_and_escape_ends_it(daemon, top):
    screen = top()
    screen.sees("4 up")

    screen.type("/MAIL\r")
    screen.until(lambda: screen.line("filter 'MAIL'") and not screen.line("www ", " 7 "), "only mail")
    assert screen.line("mail", " 7 ")

    screen.type("\x1b")
    screen.sees("4 up")


def test_only_what_failed_is_left_by_f(daemon, top, listeners):
    screen = top()
    screen.type("f")
    screen.sees("nothing passes the filter")

    listeners[0].close()

    screen.sees("www", named(listeners[0]), "down")
    assert named(listeners[1]) not in "\n".join(screen.lines[4:17])


def test_rows_are_sorted_by_the_column_that_was_chosen_and_turned_around(daemon, top, listeners):
    listeners[1].close()
    screen = top()
    screen.sees("2 down")
    assert [line.split()[0] for line in screen.lines[4:8]] == ["mail", "mail", "www", "www"]

    screen.type(">>")
    screen.sees("SERVICE", "STATE▲")
    assert [line.split()[2] for line in screen.lines[4:8]] == ["down", "down", "up", "up"]

    screen.type("r")
    screen.sees("SERVICE", "STATE▼")
    assert [line.split()[2] for line in screen.lines[4:8]] == ["up", "up", "down", "down"]


def test_the_selected_server_stays_selected_while_rows_change_their_places(daemon, top):
    screen = top()
    screen.sees("4 up")
    screen.type("j")
    screen.until(lambda: screen.is_marked(5), "the second row is marked")
    selected = screen.lines[5].split()[:2]

    screen.type("r")

    screen.until(lambda: screen.is_marked(7) or screen.is_marked(6), "it moved down")
    (marked,) = [at for at in range(4, 8) if screen.is_marked(at)]
    assert screen.lines[marked].split()[:2] == selected


def test_explain_is_asked_for_shown_and_scrolled(daemon, top, listeners):
    listeners[0].close()
    screen = top()
    screen.sees("2 down")

    screen.type("e")
    screen.sees(f"{named(listeners[0])} of mail", "is down for")
    screen.sees("weight: 0 in the table, 7 configured")
    assert not screen.line("LAST ANSWER")

    screen.type("\x1b[4~")  # End
    screen.until(lambda: not screen.line("is down for"), "it was scrolled")
    screen.type("\x1b")
    screen.sees("LAST ANSWER")


def test_a_drain_takes_a_reason_and_a_yes_and_is_ended_again(daemon, top, listeners):
    screen = top()
    screen.sees("4 up")

    screen.type("dnew kernel\r")
    screen.sees(f"drain {named(listeners[0])} of mail (new kernel)? y = yes")
    assert all_have(daemon, 7)
    screen.type("y")

    screen.sees("mail", named(listeners[0]), "up, drained by", "0/7")
    (override,) = ask(daemon.socket, "GET", "/v1/overrides")["overrides"]
    assert (override["service"], override["server"], override["why"]) == ("mail", named(listeners[0]), "new kernel")

    screen.type("u")
    screen.sees(f"end drain for {named(listeners[0])} of mail")
    screen.type("y")
    daemon.until(lambda: all_have(daemon, 7), "the drain is ended")


def test_anything_but_a_yes_changes_nothing(daemon, top):
    screen = top()
    screen.sees("4 up")

    screen.type("m\r")
    screen.sees("maintenance for", "y = yes")
    screen.type("n")

    screen.sees(OF_THE_KEYS)
    assert ask(daemon.socket, "GET", "/v1/overrides")["overrides"] == []


def test_what_the_daemon_refuses_is_said(daemon, top, listeners):
    listeners[1].close()
    screen = top()
    screen.sees("2 down")

    screen.type("d\ry")

    screen.sees("that would leave mail with 0 of 1 usable servers")


def test_a_daemon_that_ended_is_told_with_the_time_and_comes_back_by_itself(daemon, start, top):
    screen = top()
    screen.sees("4 up")

    daemon.stop()
    screen.sees("NO ANSWER since", "Z: no daemon answers")
    assert screen.line("mail", "7")

    start()
    screen.until(lambda: not screen.line("NO ANSWER") and screen.line("4 up"), "it is back")


def test_without_a_daemon_it_waits_for_one(write, start, top, listeners):
    write(service_text("www", listeners))
    screen = top()
    screen.sees("NO ANSWER since")

    start()

    screen.sees("www", "up")


def test_pause_keeps_what_is_shown(daemon, top, listeners):
    screen = top()
    screen.sees("4 up")
    screen.type("p")
    screen.sees("PAUSED")

    listeners[0].close()
    daemon.until(lambda: 0 in daemon.weights().values(), "a server is down")
    screen.type("?")
    screen.sees("pause: what is shown stays as it is")
    screen.type("\x1b")
    screen.sees("LAST ANSWER")
    assert screen.line("4 up")

    screen.type("p")
    screen.sees("2 down")


def test_events_can_be_switched_off(top):
    screen = top()
    screen.sees("EVENTS")

    screen.type("v")
    screen.until(lambda: not screen.line("EVENTS"), "no events")


def test_another_size_of_the_window_is_taken(top):
    screen = top()
    screen.sees("NO ANSWER since")
    assert not screen.line("INACT/S")

    screen.resize(30, 140)
    screen.sees("STREAK", "INACT/S", "LAST ANSWER")
    screen.until(lambda: screen.lines[29].startswith(OF_THE_KEYS), "the keys are at the bottom")

    screen.resize(10, 40)
    screen.until(lambda: screen.lines[9].startswith(OF_THE_KEYS), "they are again")


def test_colour_tells_states_apart_unless_it_is_not_wanted(daemon, top, listeners):
    listeners[0].close()
    coloured, plain, unable = top(), top(NO_COLOR="1"), top(term="vt100")
    for screen in (coloured, plain, unable):
        screen.sees("2 down")

    assert "red" in coloured.colours(4)
    assert "green" in coloured.colours(5)
    assert plain.colours(4) | plain.colours(5) | unable.colours(4) | unable.colours(5) == {"default"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_and_the_terminal_is_as_before(top, number):
    screen = top(term="xterm")
    screen.sees("NO ANSWER since")
    assert screen.modes_now() != screen.modes

    screen.process.send_signal(number)

    assert screen.ends() == 128 + number
    assert_as_before(screen)


def test_quit_ends_it_and_the_terminal_is_as_before(top):
    screen = top(term="xterm")
    screen.sees("NO ANSWER since")

    screen.type("q")

    assert screen.ends() == 0
    assert_as_before(screen)


class Babbler(socketserver.ThreadingTCPServer):
    """A server that says the same to everybody."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, said: bytes) -> None:
        class Saying(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    self.request.sendall(said)

        super().__init__(("127.0.0.1", 0), Saying)
        self.address, self.port = self.server_address[:2]

    def __enter__(self) -> Babbler:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.shutdown()
        self.server_close()


class Impostor:
    """Answers everything with a document of our version that lacks all else."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            client = self._listener.accept()[0]
            with client:
                if not client.recv(4096):
                    return
                client.sendall(b'HTTP/1.0 200 OK\r\n\r\n{"version": 1}')

    def close(self) -> None:
        """End it: a client that says nothing is the sign."""
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(self._listener.getsockname())
        self._thread.join(10)
        self._listener.close()


def assert_as_before(screen: Terminal) -> None:
    """The modes, the screen that was there before, and the cursor."""
    assert screen.modes_now() == screen.modes
    assert screen.written.rfind(b"\x1b[?1049l") > screen.written.rfind(b"\x1b[?1049h") >= 0
    assert screen.written.rfind(b"\x1b[?25h") > screen.written.rfind(b"\x1b[?25l") >= 0


def test_a_fault_of_ours_leaves_the_terminal_as_it_was_and_is_told(tmp_path, top):
    served = Impostor(tmp_path / "control.sock")
    try:
        screen = top(term="xterm")
        assert screen.ends() == 1
        assert_as_before(screen)
        assert b"KeyError: 'services'" in screen.written
    finally:
        served.close()


def test_it_can_be_stopped_and_brought_back_from_a_shell(tmp_path):
    shell = Terminal("bash", "--norc", "--noprofile", "-i", PS1="ready> ")
    try:
        shell.sees("ready>")
        shell.type(" ".join(command(tmp_path)) + "\r")
        shell.sees("NO ANSWER since")

        shell.type("\x1a")
        shell.sees("Stopped")
        shell.type("echo the shell reads $((6 * 7))\r")
        shell.sees("the shell reads 42")

        shell.type("fg\r")
        shell.until(lambda: shell.lines[3].startswith("SERVICE▲") and shell.line("NO ANSWER since"), "it is back")
        shell.type("q")
        shell.sees("ready>")
        shell.type("echo status $?\r")
        shell.sees("status 0")
    finally:
        shell.close()


def test_a_terminal_that_goes_away_ends_it(top):
    screen = top()
    screen.sees("NO ANSWER since")

    screen.hang_up()

    assert screen.process.wait(30) == 128 + signal.SIGHUP


def test_without_a_terminal_it_says_so(tmp_path):
    done = subprocess.run(command(tmp_path), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)

    assert done.returncode == 1
    assert done.stderr == "healthd: this needs a terminal; `healthd status` does not\n"


@pytest.mark.parametrize("term", ["dumb", "no-such-terminal"])
def test_a_terminal_that_cannot_do_it_is_named(top, term):
    screen = top(term=term)

    assert screen.ends() == 1
    assert f"healthd: the terminal '{term}'" in screen.text


def test_what_a_server_sends_is_shown_as_letters_and_wide_ones_keep_the_columns(write, start, top):
    with Babbler("554 日本 \x1b[2J\x1b]0;owned\x07\u202e\r\n".encode()) as babbler:
        write(service_text("mail", [babbler]).replace('type = "tcp"', 'type = "smtp"'))
        start()
        screen = top(width=140)
        screen.sees("mail", "down", "0/7", r"554 日本 \x1b[2J\x1b]0;owned\x07")

        assert screen.lines[3].startswith("SERVICE▲")
        assert screen.lines[3].index("STATE") == screen.lines[4].index("down")


def test_a_terminal_without_unicode_gets_what_it_can_show(daemon, top):
    screen = top(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")

    screen.sees("SERVICE?", "SERVER", "LAST ANSWER")
    screen.sees("4 servers", "4 up")
    screen.type("q")
    assert screen.ends() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_root_and_the_owner_of_the_socket_may_give_orders_and_others_may_not():
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder) / "control.sock"
        Path(folder).chmod(0o755)
        listener.bind(str(path))
        os.chown(path, 65533, -1)
        found = {user: as_user(user, lambda: may_write(path)) for user in (0, 65533, 65534)}

    assert found == {0: True, 65533: True, 65534: False}


def as_user(user: int, do: Callable[[], bool]) -> bool:
    """What is found with the rights of another user."""
    os.seteuid(user)
    try:
        return do()
    finally:
        os.seteuid(0)
