"""Commands that need no daemon: `probe` of every kind of server, and what all commands do with Ctrl-C and pipes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from healthd.cli import main
from tests.daemon.conftest import PATIENCE, Listener

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def healthd(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process; its exit code and what it printed."""

    def run(*words: object) -> tuple[int, str, str]:
        before = signal.getsignal(signal.SIGHUP)
        try:
            code = main([str(word) for word in words])
        finally:
            signal.signal(signal.SIGHUP, before)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def files(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a configuration of one service `s` with these servers."""

    def write(servers: str, check: str = 'type = "tcp"') -> Path:
        path = tmp_path / "healthd.toml"
        checked = f'[service.check]\n{check}\ntimeout = "2s"\n' if check else ""
        path.write_text(f'[[service]]\nname = "s"\nvirtual = "192.0.2.1:80"\nforward = "masq"\n{checked}\n{servers}')
        return path

    return write


def real(address: str, more: str = "") -> str:
    return f'[[service.real]]\naddress = "{address}"\n{more}\n'


@pytest.fixture
def listener() -> Iterator[Listener]:
    one = Listener()
    yield one
    one.close()


@pytest.fixture
def closed() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return f"127.0.0.1:{sock.getsockname()[1]}"


def test_verdicts_come_in_the_order_of_the_files_with_their_transcripts(healthd, files, listener, closed):
    code, out, _ = healthd("probe", "-c", files(real(closed, 'name = "b"') + real(f"127.0.0.1:{listener.port}")), "s")
    assert code == 2
    first, second = (line for line in out.splitlines() if "tcp" in line and "[" in line)
    assert f"{closed} (b) tcp {closed}: FAIL (refused)" in first
    assert ": PASS (ok)" in second
    assert "connect" in out


def test_one_server_by_its_name_and_in_json(healthd, files, listener, closed):
    path = files(real(closed) + real(f"127.0.0.1:{listener.port}", 'name = "good"'))
    code, out, _ = healthd("probe", "-c", path, "--json", "s", "good")
    (answer,) = json.loads(out)
    assert code == 0
    assert (answer["outcome"], answer["kind"], answer["target"]) == ("pass", "tcp", f"127.0.0.1:{listener.port}")


def test_without_a_name_every_service_is_asked(healthd, files, listener, closed):
    """The same server in two of them is asked for each."""
    path = files(real(f"127.0.0.1:{listener.port}"))
    two = path.read_text() + path.read_text().replace('"s"', '"t"').replace("192.0.2.1", "192.0.2.2") + real(closed)
    path.write_text(two)
    code, out, _ = healthd("probe", "-c", path, "--quiet")
    assert code == 2
    good = f"127.0.0.1:{listener.port} tcp 127.0.0.1:{listener.port}: PASS"
    found = [line.partition(" (")[0] for line in out.splitlines()]
    assert found == [f"s: {good}", f"t: {good}", f"t: {closed} tcp {closed}: FAIL"]
    documents = json.loads(healthd("probe", "-c", path, "--json")[1])
    assert [one["service"] for one in documents] == ["s", "t", "t"]


def test_servers_held_by_the_configuration_and_servers_without_checks(healthd, files, listener):
    path = files(
        real("127.0.0.1:1", 'check = { type = "on" }')
        + real("127.0.0.1:2", 'check = { type = "off" }')
        + real("127.0.0.1:3", "check = []"),
        "",
    )
    code, out, _ = healthd("probe", "-c", path, "--quiet", "s")
    assert code == 2
    lines = out.splitlines()
    assert "PASS (ok) on by configuration" in lines[0]
    assert "FAIL (unexpected) off by configuration" in lines[1]
    assert lines[2] == "127.0.0.1:3: not checked"
    documents = json.loads(healthd("probe", "-c", path, "--json", "s")[1])
    assert [one["outcome"] for one in documents] == ["pass", "fail", None]
    assert len({tuple(one) for one in documents}) == 1


def test_a_script_and_its_output(healthd, files, tmp_path):
    script = tmp_path / "check.sh"
    script.write_text("#!/bin/sh\necho it is $(id -un) and it fails\nexit 3\n")
    script.chmod(0o755)
    path = files(real("127.0.0.1:80"), f'type = "script"\ncommand = "{script}"')
    code, out, _ = healthd("probe", "-c", path, "s")
    assert code == 2
    assert "and it fails" in out


def test_a_script_as_another_user(healthd, files):
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    path = files(real("127.0.0.1:80"), 'type = "script"\ncommand = "/usr/bin/id"\nargs = ["-un"]\nuser = "nobody"')
    code, out, err = healthd("probe", "-c", path, "s")
    assert (code, "nobody" in out) == (0, True), out + err


def test_a_namespace_that_is_not_there_says_nothing_about_the_server(healthd, files, listener):
    """The others are asked all the same."""
    servers = real("127.0.0.1:80", 'check = { type = "tcp", netns = "/proc/self/ns/nothing" }')
    path = files(servers + real(f"127.0.0.1:{listener.port}"))
    code, out, _ = healthd("probe", "-c", path, "--quiet", "s")
    assert code == 3
    assert "INCONCLUSIVE (local)" in out.splitlines()[0]
    assert "PASS" in out.splitlines()[1]


@pytest.fixture
def namespace() -> Iterator[str]:
    """The path of a network namespace that nothing is in, not even a way to itself."""
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo ready; exec sleep 60"], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    try:
        if holder.stdout.readline() != b"ready\n":
            pytest.skip("no network namespace can be made here")
        yield f"/proc/{holder.pid}/ns/net"
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_a_server_is_asked_inside_its_namespace_and_the_next_one_outside(healthd, files, listener, namespace):
    inside = f'[service.real.check]\ntype = "tcp"\nport = {listener.port}\nnetns = "{namespace}"'
    outside = f'[service.real.check]\ntype = "tcp"\nport = {listener.port}'
    path = files(real("127.0.0.1:1", inside) + real("127.0.0.1:2", outside), "")
    code, out, _ = healthd("probe", "-c", path, "--quiet", "s")
    first, second = out.splitlines()
    assert code != 0
    assert "127.0.0.1:1 " in first
    assert "PASS" not in first
    assert "PASS (ok)" in second


def test_servers_of_one_namespace_are_asked_together(healthd, files, tmp_path):
    """Each script passes only if it meets the other one while both run."""
    script = tmp_path / "meet.sh"
    script.write_text(
        f"#!/bin/sh\ntouch {tmp_path}/$$\nn=0\n"
        f"while [ $(ls {tmp_path} | grep -c '^[0-9]') -lt 2 ]; do\n"
        "n=$((n+1)); [ $n -gt 1000 ] && exit 3; sleep 0.01; done\n"
    )
    script.chmod(0o755)
    path = files(real("127.0.0.1:1") + real("127.0.0.1:2"), f'type = "script"\ncommand = "{script}"\ninterval = "60s"')
    path.write_text(path.read_text().replace('timeout = "2s"', 'timeout = "30s"'))
    assert healthd("probe", "-c", path, "--quiet", "s")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [(("nope",), "no service is called 'nope'; there are s\n"), (("s", "10.0.0.1"), "has no real server '10.0.0.1'")],
)
def test_what_does_not_exist(healthd, files, words, said):
    code, _, err = healthd("probe", "-c", files(real("127.0.0.1:80")), *words)
    assert code == 66
    assert said in err


def test_words_of_a_server_reach_the_terminal_as_letters_only(healthd, files):
    """A banner with escape sequences, in the verdict and in the transcript."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        child = os.fork()
        if child == 0:
            connection, _ = sock.accept()
            connection.sendall(b"\x1b[2J\x1b]0;owned\x07 no\r\n\xc2\x9b31m\n")
            time.sleep(5)
            os._exit(0)
        try:
            path = files(real(f"127.0.0.1:{sock.getsockname()[1]}"), 'type = "tcp"\nexpect = "yes"')
            _, out, _ = healthd("probe", "-c", path, "s")
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    assert "owned" in out
    assert all(line.isprintable() for line in out.splitlines())


def started(*words: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "healthd", *words], text=True, **options)  # type: ignore[call-overload]


def test_control_c_ends_a_probe_without_a_traceback(files, tmp_path):
    script = tmp_path / "check.sh"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/began\nexec sleep 60\n")
    script.chmod(0o755)
    path = files(real("127.0.0.1:80"), f'type = "script"\ncommand = "{script}"\ninterval = "100s"').read_text()
    (tmp_path / "healthd.toml").write_text(path.replace('timeout = "2s"', 'timeout = "50s"'))
    probe = started("probe", "-c", str(tmp_path / "healthd.toml"), "s", stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "began").exists() and time.monotonic() < end:
        time.sleep(0.02)
    probe.send_signal(signal.SIGINT)
    _, err = probe.communicate(timeout=PATIENCE)
    assert (probe.returncode, err) == (130, "")


def test_a_reader_that_goes_away_is_no_reason_to_complain(files, tmp_path):
    path = files("".join(real(f"10.{number // 250}.{number % 250}.1:80") for number in range(3000)), "")
    reading, writing = os.pipe()
    probe = started("probe", "-c", str(path), "s", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    os.close(reading)
    _, err = probe.communicate(timeout=PATIENCE)
    assert (probe.returncode, err) == (141, "")
