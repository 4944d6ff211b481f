"""`healthd top` on a terminal, against a real daemon."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from healthd.control import ask
from tests.daemon.conftest import Listener, RunningDaemon, service_text
from tests.top.terminal import Terminal, terminals

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
    with terminals(tmp_path) as start:
        yield start


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


def test_colour_tells_states_apart_unless_it_is_not_wanted(daemon, top, listeners):
    listeners[0].close()
    coloured, plain, unable = top(), top(NO_COLOR="1"), top(term="vt100")
    for screen in (coloured, plain, unable):
        screen.sees("2 down")

    assert "red" in coloured.colours(4)
    assert "green" in coloured.colours(5)
    assert plain.colours(4) | plain.colours(5) | unable.colours(4) | unable.colours(5) == {"default"}


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
