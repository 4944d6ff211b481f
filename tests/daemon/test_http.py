"""[http] of a running daemon: what a reload changes at once, what it says about the rest, what it refuses."""

from __future__ import annotations

import http.client
import json

import pytest

from healthd.control import Refusal, ask
from tests.daemon.conftest import service_text

OLD, NEW = "old-token-0123456789", "new-token-0123456789"


def settings(folder, **others: str) -> str:
    values = {"listen": '"127.0.0.1:0"', "tokens": f'"{folder}/tokens"', **others}
    return "[http]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())


def tokens(folder, token: str) -> None:
    (folder / "tokens").write_text(f"alice {token} write\n")
    (folder / "tokens").chmod(0o600)


def status(daemon, token: str) -> int:
    """The answer to an order of whoever has this token: 401 nobody has it, 403 it may not, 200."""
    (told,) = (line["message"] for line in daemon.events() if "the status page is at" in line["message"])
    connection = http.client.HTTPConnection(told.rpartition("//")[2].rstrip("/"), timeout=20)
    connection.request("POST", "/v1/check-now", json.dumps({}), {"Authorization": f"Bearer {token}"})
    code = connection.getresponse().status
    connection.close()
    return code


def reload(daemon) -> dict[str, object]:
    return ask(daemon.socket, "POST", "/v1/reload")


def test_tokens_and_rights_change_at_a_reload_and_where_it_listens_does_not(write, start, listeners, tmp_path):
    tokens(tmp_path, OLD)
    write(service_text("www", listeners), more=settings(tmp_path))
    daemon = start()
    daemon.told("READY=1")
    assert status(daemon, OLD) == 403
    tokens(tmp_path, NEW)
    write(service_text("www", listeners), more=settings(tmp_path, write="true", listen='["127.0.0.1:0", "[::1]:0"]'))
    assert "changes of http.listen take effect at the next start" in reload(daemon)["message"]
    assert (status(daemon, OLD), status(daemon, NEW)) == (401, 200)


def test_a_file_of_tokens_that_others_can_read_is_refused_and_the_old_tokens_stay(write, start, listeners, tmp_path):
    tokens(tmp_path, OLD)
    write(service_text("www", listeners), more=settings(tmp_path, write="true"))
    daemon = start()
    daemon.told("READY=1")
    tokens(tmp_path, NEW)
    (tmp_path / "tokens").chmod(0o644)
    said = reload(daemon)
    assert said["ok"] is False
    assert "others can use it; chmod 0640" in said["message"]
    assert (status(daemon, OLD), status(daemon, NEW)) == (200, 401)


def test_secrets_are_in_no_answer(write, start, listeners, tmp_path):
    tokens(tmp_path, OLD)
    write(service_text("www", listeners), more=settings(tmp_path))
    daemon = start()
    daemon.told("READY=1")
    shown = json.dumps(ask(daemon.socket, "GET", "/v1/config"))
    assert "alice" in shown
    assert OLD not in shown
    with pytest.raises(Refusal, match="Not Found"):  # the page is for TCP
        ask(daemon.socket, "GET", "/")
