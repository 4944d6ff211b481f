"""The commands of an operator, against a real daemon on its table in memory that has a state store."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from healthd.cli import main
from healthd.control import Refusal, ask
from tests.daemon.conftest import PATIENCE, Listener, RunningDaemon, service_text

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def begin(write, start, listeners, tmp_path) -> Callable[[], RunningDaemon]:
    """Starts a daemon over the same configuration and state; its two servers are up when it returns."""
    path = write(service_text("www", listeners), more=f'[state]\nfile = "{tmp_path}/state.db"\n')

    def begin() -> RunningDaemon:
        daemon = start()
        daemon.until(lambda: None not in daemon.weights().values() and len(daemon.weights()) == 2, "both known")
        return daemon

    assert path.exists()
    return begin


@pytest.fixture
def healthd(tmp_path, capsys) -> Run:
    """Runs a command in this process; its exit code and what it printed."""

    def run(command: str, *words: str) -> tuple[int, str, str]:
        try:
            code = main([command, "-s", str(tmp_path / "control.sock"), *words])
        except SystemExit as ended:
            code = int(str(ended.code))
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def done(healthd) -> Callable[..., str]:
    """What a command prints that must not fail."""

    def run(*words: str) -> str:
        code, said, complained = healthd(*words)
        assert (code, complained) == (0, "")
        return said

    return run


def name(listener: Listener) -> str:
    return f"{listener.address}:{listener.port}"


# --- drain, maintenance, weight ---------------------------------------------------------------------------------


def test_a_drain_is_in_force_when_the_command_returns_and_lives_through_a_kill(begin, done, listeners):
    one = name(listeners[0])
    daemon = begin()
    assert f"drain for {one} in every service" in done("drain", "--reason", "new kernel", one)
    assert daemon.weights()[one] == 0
    assert "drained: a drain for" in done("explain", one)
    daemon.process.kill()
    daemon.process.wait(PATIENCE)
    again = begin()
    assert again.weights() == {one: 0, name(listeners[1]): 7}
    assert "new kernel" in done("overrides")
    done("undrain", one)
    assert again.weights()[one] == 7
    assert done("overrides") == "no overrides\n"


def test_a_host_is_named_by_its_address_and_who_wants_too_much_is_told(begin, healthd, done, listeners):
    one, other = listeners
    daemon = begin()
    done("maintenance", "on", one.address)
    code, _, said = healthd("drain", "www", name(other))
    assert code == 1
    assert "would leave www with 0 of 1 usable servers, 1 must stay" in said
    assert daemon.weights()[name(other)] == 7
    done("drain", "--force", "www", name(other))
    assert set(daemon.weights().values()) == {0}
    code, _, said = healthd("undrain", name(other))
    assert code == 66
    assert f"but there is a drain for {name(other)} of www" in said
    done("maintenance", "off", one.address)
    done("undrain", "www", name(other))
    assert set(daemon.weights().values()) == {7}


def test_two_orders_at_once_do_not_count_on_each_other_s_servers(begin, listeners):
    daemon = begin()
    answers: list[str] = []

    def drain(listener: Listener) -> None:
        body = {"names": [name(listener)], "kind": "drain"}
        try:
            ask(daemon.socket, "POST", "/v1/overrides", PATIENCE, body=body)
            answers.append("done")
        except Refusal as error:
            answers.append(error.said)

    threads = [threading.Thread(target=drain, args=(listener,)) for listener in listeners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers.count("done") == 1
    (refused,) = (said for said in answers if said != "done")
    assert "would leave www with 0 of 1 usable servers" in refused
    assert sorted(daemon.weights().values()) == [0, 7]


def test_another_weight_holds_through_a_failure_and_a_reload(begin, done, listeners):
    one = name(listeners[0])
    daemon = begin()
    done("weight", "3", "www", one)
    assert daemon.weights()[one] == 3
    listeners[0].close()
    daemon.until(lambda: daemon.weights()[one] == 0, "down")
    done("reload")
    listeners[0].reopen()
    daemon.until(lambda: daemon.weights()[one] == 3, "up with the weight that was ordered")
    done("weight", "configured", "www", one)
    assert daemon.weights()[one] == 7


def test_what_expires_ends_by_itself(begin, done, listeners):
    one = name(listeners[0])
    daemon = begin()
    done("drain", "--expires", "1s", one)
    daemon.until(lambda: daemon.weights()[one] == 7, "over")
    assert "the time is over for a drain" in done("events", one)


def test_waiting_for_nothing_ends_at_once_and_the_row_is_taken_out_then(begin, healthd, listeners):
    one = name(listeners[0])
    daemon = begin()
    code, said, told = healthd("drain", "--wait", "--then", "remove", one)
    assert code == 0
    assert "0 active, 0 inactive, 0 persistent" in said
    assert "removal for" in told
    assert daemon.weights()[one] is None
    assert healthd("undrain", one)[0] == 0
    assert daemon.weights()[one] == 7


def test_ctrl_c_takes_a_drain_back(begin, done, listeners):
    """The table in memory has no connections, so the program that waits is told of some that never end."""
    one = name(listeners[0])
    daemon = begin()
    program = (
        "import healthd.commands.drain as d; d.counted = lambda document: d.Count(5, 5, 0, 0)\n"
        "from healthd.cli import main; raise SystemExit(main())"
    )
    command = [sys.executable, "-c", program, "drain", "-s", str(daemon.socket), "--wait", one]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert waiting.stdout is not None
    assert "5 active" in waiting.stdout.readline()
    assert daemon.weights()[one] == 0
    waiting.send_signal(signal.SIGINT)
    waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 130
    assert daemon.weights()[one] == 7
    assert done("overrides") == "no overrides\n"


# --- to look at -------------------------------------------------------------------------------------------------


def test_explain_tells_the_evidence_the_rule_and_the_way_back(begin, done, listeners):
    one = name(listeners[0])
    daemon = begin()
    listeners[0].close()
    daemon.until(lambda: daemon.weights()[one] == 0, "down")
    said = done("explain", one)
    for words in (
        f"{one} of www (192.0.2.80:80/tcp) is down for",
        "weight: 0 in the table, 7 configured, written",
        f"failed: tcp of {one} failed 2 times in a row",
        "connection refused",
        "rise 1, fall 2",
        f"to come back: one pass of tcp of {one}, in 0.",
        "healthd.toml:",
        "ago: fail (refused) connection refused; took ",
        "what was said",
        "is down (refused: connection refused), weight 0",
    ):
        assert words in said
    document = json.loads(done("explain", "--json", one))["servers"][0]
    assert document["why"][0]["reason"] == "failed"
    assert document["full_weight"] == 7
    assert "serves with 1 of 2 servers" in done("explain", "www")


def test_events_are_followed_as_they_happen_and_found_later(begin, done, listeners):
    one = name(listeners[0])
    daemon = begin()
    command = [sys.executable, "-m", "healthd", "events", "-s", str(daemon.socket), "--follow", "--json", one]
    following = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert following.stdout is not None
    try:
        assert json.loads(following.stdout.readline())["kind"] == "server-up"
        listeners[0].close()
        kinds = [json.loads(following.stdout.readline())["kind"] for _ in range(2)]
        assert kinds == ["server-failing", "server-down"]
        daemon.stop()
        assert following.wait(PATIENCE) == 69
    finally:
        following.kill()
        following.communicate()
    begin_again = begin()
    past = [json.loads(line) for line in done("events", "--json", "--limit", "100").splitlines()]
    assert [event["id"] for event in past] == sorted({event["id"] for event in past})
    assert "stopping" in [event["kind"] for event in past]
    assert begin_again.stop() == 0


def test_check_now_shows_what_was_answered_just_now(begin, healthd, listeners):
    begin()
    code, said, _ = healthd("check-now", "www")
    assert code == 0
    assert said.count("tcp pass connected") == 2
    listeners[1].close()
    code, said, _ = healthd("check-now", name(listeners[1]))
    assert code == 2
    assert "connection refused" in said


def test_a_reload_can_be_looked_at_first(begin, healthd, tmp_path):
    daemon = begin()
    assert healthd("reload", "--diff")[:2] == (0, "nothing would be written\n")
    path = tmp_path / "healthd.toml"
    text = path.read_text()
    path.write_text(text.replace("weight = 7", "weight = 8"))
    code, said, _ = healthd("reload", "--diff")
    assert code == 2
    assert said.count("weight=8") == 2
    assert set(daemon.weights().values()) == {7}
    path.write_text("nonsense")
    assert healthd("reload", "--diff")[0] == 78


def test_config_is_what_is_in_force_and_resync_compares(begin, done, listeners):
    begin()
    document = json.loads(done("config"))
    assert document["services"][0]["reals"][0]["checks"][0]["type"] == "tcp"
    assert document["services"][0]["keep_usable"] == 1
    assert "as it should be" in done("resync")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("explain", "wwww"), 66, "did you mean www?"),
        (("drain", "wwww"), 66, "did you mean www?"),
        (("drain", "-r", "a\nb", "www"), 1, "printable"),
        (("events", "nobody"), 66, "no service and no real server"),
        (("undrain", "www"), 66, "there is no drain or remove of service www"),
    ],
)
def test_what_makes_no_sense_is_told(begin, healthd, words, code, said):
    begin()
    found, _, complaint = healthd(*words)
    assert found == code
    assert said in complaint


@pytest.mark.parametrize("words", [("weight", "70000", "www"), ("drain", "--expires", "soon", "www"), ("drain",)])
def test_words_that_mean_nothing_are_refused_before_anybody_is_asked(healthd, words, capsys):
    assert healthd(*words)[0] == 2


@pytest.mark.parametrize("command", ["drain", "undrain", "explain", "check-now"])
def test_without_a_daemon_it_says_so(healthd, command):
    code, _, said = healthd(command, "www")
    assert code == 69
    assert "no daemon answers" in said


def test_a_state_store_that_cannot_be_had_is_told_with_every_override(write, start, listeners, tmp_path, healthd):
    (tmp_path / "file").write_text("")
    write(service_text("www", listeners), more=f'[state]\nfile = "{tmp_path}/file/state.db"\n')
    daemon = start()
    daemon.until(lambda: set(daemon.weights().values()) == {7}, "up")
    code, _, said = healthd("drain", name(listeners[0]))
    assert code == 0
    assert "does not live through a restart" in said
    assert daemon.weights()[name(listeners[0])] == 0
    assert any("will not live through a restart" in json.dumps(line) for line in daemon.events())
