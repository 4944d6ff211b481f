"""`healthd top` on a terminal, whatever becomes of the terminal, and without a daemon."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from healthd.commands.top import may_write
from healthd.top.screen import Inbox
from healthd.top.words import Unheard
from tests.top.terminal import Terminal, command, terminals

OF_THE_KEYS = "? help"


@pytest.fixture
def top(tmp_path) -> Iterator[Callable[..., Terminal]]:
    """Starts `healthd top` on a terminal, for the daemon of this test's folder."""
    with terminals(tmp_path) as start:
        yield start


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


def test_a_fault_in_a_thread_is_raised_to_whoever_takes_messages():
    inbox, fault = Inbox(), KeyError("services")
    inbox.put(Unheard("first"))
    inbox.put_fault(threading.ExceptHookArgs((KeyError, fault, None, None)))
    taken = inbox.take()

    assert select.select([inbox.bell], [], [], 0)[0]
    assert next(taken) == Unheard("first")
    with pytest.raises(KeyError, match="services"):
        next(taken)
    assert not select.select([inbox.bell], [], [], 0)[0]
    os.close(inbox.bell)


def test_it_can_be_stopped_and_brought_back_from_a_shell(tmp_path):
    shell = Terminal("bash", "--norc", "--noprofile", "-i", PS1="ready> ")
    try:
        shell.sees("ready>")
        shell.type(" ".join(command(tmp_path)) + "\r")
        shell.sees("NO ANSWER since")

        shell.type("\x1a")
        shell.sees("Stopped")
        assert shell.written.rfind(b"\x1b[?25h") > shell.written.rfind(b"\x1b[?25l") >= 0
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


def test_stopped_by_others_it_takes_the_terminal_again_as_it_wants_it(top):
    screen = top()
    screen.sees("NO ANSWER since")
    wanted = screen.modes_now()

    screen.process.send_signal(signal.SIGSTOP)
    screen.until(lambda: os.waitid(os.P_PID, screen.process.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT), "it stopped")
    screen.set_modes(screen.modes)
    screen.process.send_signal(signal.SIGCONT)

    screen.until(lambda: screen.modes_now() == wanted, "it has the modes that it wants")


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
