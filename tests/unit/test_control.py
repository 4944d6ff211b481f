"""The client of the control socket: whatever is at the other end, people get one sentence."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from healthd.control import ControlError, ask


@contextmanager
def server(path: Path, answer: bytes | None) -> Iterator[None]:
    """Gives one client this answer and hangs up; None: never says anything."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    over = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            if answer is None:
                over.wait(60)
            else:
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        listener.close()


def answer(code: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (code, len(body), body)


def test_a_document_is_given_back(tmp_path):
    with server(tmp_path / "s", answer(200, b'{"ok": true}')):
        assert ask(tmp_path / "s", "GET", "/v1/status") == {"ok": True}


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (answer(403, b'{"error": "reading is not allowed to user 7"}'), "reading is not allowed to user 7"),
        (answer(404, b"404: Not Found"), "404"),
        (answer(200, b"<html>"), "no status of healthd's"),
        (answer(200, b"[1]"), "no status of healthd's"),
        (answer(200, b"[" * 100_000), "no status of healthd's"),
        (b"220 mail.example.net ESMTP\r\n", "failed"),
        (b"", "failed"),
    ],
)
def test_whatever_is_no_answer_is_one_sentence(tmp_path, said, sentence):
    with server(tmp_path / "s", said), pytest.raises(ControlError, match=sentence) as caught:
        ask(tmp_path / "s", "GET", "/v1/status")
    assert str(tmp_path / "s") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_that_says_nothing_is_given_up(tmp_path):
    with server(tmp_path / "s", None), pytest.raises(ControlError, match=r"did not answer within 0\.2 s"):
        ask(tmp_path / "s", "GET", "/v1/status", timeout=0.2)


@pytest.mark.parametrize("name", ["none", "file"])
def test_nobody_there(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ControlError, match="no daemon answers"):
        ask(tmp_path / name, "GET", "/v1/status")


def test_nobody_there_but_others_beside_it(tmp_path):
    """As with several instances of `healthd ldirectord`, of which none is meant by itself."""
    for name in ("ldirectord.www.cf.sock", "ldirectord.mail.cf.sock", "table-1.lock"):
        (tmp_path / name).touch()
    with pytest.raises(ControlError) as caught:
        ask(tmp_path / "control.sock", "GET", "/v1/status")
    both = f"{tmp_path}/ldirectord.mail.cf.sock, {tmp_path}/ldirectord.www.cf.sock"
    assert str(caught.value) == f"no daemon answers on {tmp_path}/control.sock (-s says which of {both})"


def test_a_path_that_is_too_long(tmp_path):
    with pytest.raises(ControlError, match="too long"):
        ask(tmp_path / ("s" * 200), "GET", "/v1/status")
