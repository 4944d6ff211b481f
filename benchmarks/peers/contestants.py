"""Those who compete: each is told what to ask of how many targets, and becomes a process (with children)."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from targets import PER_SERVICE, address

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Race:
    """What is asked: kind of check, targets, interval in seconds, the servers' port, and a folder for files."""

    kind: str
    targets: int
    interval: float
    port: int
    folder: Path

    @property
    def services(self) -> list[range]:
        """The targets, a hundred to a service."""
        return [range(n, min(n + PER_SERVICE, self.targets)) for n in range(0, self.targets, PER_SERVICE)]


# --- healthd ------------------------------------------------------------------------------------------------------

HEALTHD_CHECKS = {
    "tcp": 'type = "tcp"',
    "http": 'type = "http"\npath = "/healthz"',
    "dns": 'type = "dns"\nname = "example.net"\nrecord = "A"',
    "script": 'type = "script"\ncommand = "{folder}/counted"\nargs = ["{folder}/counter"]',
}
HEALTHD_HEAD = """\
[control]
socket = "{folder}/control.sock"
[log]
to = "{folder}/healthd.log"
level = "error"
"""
HEALTHD_SERVICE = """
[[service]]
name = "s{number}"
virtual = "192.0.2.{host}:{virtual}"
scheduler = "rr"
forward = "masq"
[service.check]
{check}
interval = {interval}
timeout = {timeout}
[[service.real]]
address = "{first}-{last}"
port = {port}
"""


def healthd(race: Race) -> list[str]:
    """The whole daemon, on the table in memory."""
    check = HEALTHD_CHECKS[race.kind].format(folder=race.folder)
    text = HEALTHD_HEAD.format(folder=race.folder)
    for number, members in enumerate(race.services):
        text += HEALTHD_SERVICE.format(
            number=number,
            host=number % 250 + 1,
            virtual=1000 + number // 250,
            check=check,
            interval=race.interval,
            timeout=race.interval * 0.9,
            first=address(members[0]),
            last=address(members[-1]),
            port=race.port,
        )
    config = race.folder / "healthd.toml"
    config.write_text(text)
    return [sys.executable, "-m", "healthd", "run", "-c", str(config), "--table", "memory"]


# --- keepalived ---------------------------------------------------------------------------------------------------

KEEPALIVED_CHECKS = {
    "tcp": "TCP_CHECK {{ connect_timeout 1 }}",
    "http": "HTTP_GET {{ url {{ path /healthz\n status_code 200 }}\n connect_timeout 1\n retry 0 }}",
    "dns": "DNS_CHECK {{ type A\n name example.net\n connect_timeout 1\n retry 0 }}",
    "script": 'MISC_CHECK {{ misc_path "{folder}/counted {folder}/counter"\n misc_timeout 1 }}',
}


def keepalived(race: Race) -> list[str]:
    """Debian's keepalived, whose table is away (notable.c)."""
    check = KEEPALIVED_CHECKS[race.kind].format(folder=race.folder)
    text = "global_defs {\n script_user root\n enable_script_security\n}\n"
    for number, members in enumerate(race.services):
        text += f"virtual_server 192.0.2.{number % 250 + 1} {1000 + number // 250} {{\n delay_loop {race.interval:g}\n"
        text += " lvs_sched rr\n lvs_method NAT\n protocol " + ("UDP" if race.kind == "dns" else "TCP") + "\n"
        for target in members:
            text += f" real_server {address(target)} {race.port} {{ weight 1\n {check}\n }}\n"
        text += "}\n"
    config = race.folder / "keepalived.conf"
    config.write_text(text)
    files = ["-p", str(race.folder / "keepalived.pid"), "-c", str(race.folder / "checkers.pid")]
    return ["keepalived", "-n", "-l", "-G", "-C", "-f", str(config), *files]


# --- without an engine --------------------------------------------------------------------------------------------


def plain(client: str, race: Race) -> list[str]:
    """One task per target, with the streams of asyncio or with aiohttp."""
    arguments = [race.kind, str(race.targets), str(race.interval), str(race.port)]
    return [sys.executable, str(HERE / "clients.py"), client, *arguments]


def start(name: str, race: Race) -> subprocess.Popen[bytes]:
    """Start a contestant by its name; what it prints goes to a file."""
    environment = dict(os.environ)
    if name == "healthd":
        command = healthd(race)
    elif name == "keepalived":
        command = keepalived(race)
        environment["LD_PRELOAD"] = str(race.folder / "notable.so")
    else:
        command = plain(name, race)
    output = (race.folder / f"{name}.out").open("ab")
    with output:
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
