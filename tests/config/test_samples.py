"""What is in etc/ can be installed as it is: it loads without a word, and says what the code does."""

import re
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import tomli

from healthd.config.decode import At, Report, field_of, keys_of
from healthd.config.hooks import WebhookTable
from healthd.config.load import load
from healthd.config.problems import render
from healthd.config.schema import Settings
from healthd.config.settings import REPEATED, SINGLE
from healthd.config.source import Source
from healthd.config.tables import (
    DEFAULT_OF_CHECK,
    DEFAULT_OF_REAL,
    DEFAULT_OF_SERVICE,
    CheckTable,
    RealTable,
    ServiceTable,
)

ETC = Path(__file__).parents[2] / "etc"
MAIN = (ETC / "healthd.toml").read_text()
DEFAULTS = {
    "defaults": (ServiceTable, DEFAULT_OF_SERVICE),
    "defaults.real": (RealTable, DEFAULT_OF_REAL),
    "defaults.check": (CheckTable, DEFAULT_OF_CHECK),
}


@pytest.fixture
def installed(tmp_path):
    """A copy of etc/ as it would be in /etc/healthd, with the paths in it made to fit."""
    for name in ("healthd.toml", "services.d", "scripts"):
        source = ETC / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    for file in tmp_path.glob("services.d/*.toml"):
        file.write_text(file.read_text().replace("/etc/healthd/", f"{tmp_path}/"))
    return tmp_path


def test_all_samples_together_load_without_a_word(installed):
    loaded = load(installed)

    assert render(loaded.problems) == ""
    assert {service.name for service in loaded.config.services} == {"www", "dns-udp", "dns-tcp", "shop", "mail"}


@pytest.mark.parametrize("name", sorted(path.name for path in ETC.glob("services.d/*.toml")))
def test_each_sample_loads_alone(installed, name):
    assert render(load(installed / "services.d" / name).problems) == ""


def test_the_sample_of_settings_changes_nothing(installed):
    with_sample = load(installed).config
    (installed / "healthd.toml").write_text("")
    without = load(installed).config

    assert with_sample.settings == without.settings == Settings()
    assert with_sample.services == without.services


def uncommented(text):
    """The sample with every commented key and table made real."""
    return re.sub(r"^# (?=\[\[?\w+\]\]?$|[a-z_]+ = )", "", text, flags=re.MULTILINE)


def table_at(tree, dotted):
    for part in dotted.split("."):
        tree = tree[part]
    return tree


@pytest.mark.parametrize(("name", "table"), [*SINGLE.items(), *REPEATED.items()])
def test_every_setting_is_in_the_sample(name, table):
    told = tomli.loads(uncommented(MAIN))[name]

    assert (told[0] if isinstance(told, list) else told).keys() == keys_of(table).keys()


def test_every_setting_of_a_webhook_is_in_the_sample():
    _, told = tomli.loads(uncommented(MAIN))["hook"]

    assert keys_of(WebhookTable).keys() - told.keys() == {"url_file", "secret_file", "ca_file"}, "told beside others"


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_default_is_in_the_sample(name):
    told = table_at(tomli.loads(uncommented(MAIN)), name)

    names = DEFAULTS[name][1]

    assert {key for key in told if key in names or not isinstance(told[key], dict)} == set(names)


def test_what_is_not_commented_is_the_codes_default():
    tree = tomli.loads(MAIN)
    nowhere = At(Source("", "", {}))
    tables = {name: (table, tuple(keys_of(table))) for name, table in SINGLE.items()} | DEFAULTS
    for name, (table, names) in tables.items():
        told = table_at(tree, name)
        for key in names:
            default = table.__dataclass_fields__[field_of(key)].default
            if key in told:
                assert keys_of(table)[key].kind.take(told[key], nowhere, Report()) == default
            else:
                assert keys_of(table)[key].shown is None, f"[{name}] {key} has a default, so it is not a comment"


def test_the_sample_with_everything_uncommented_is_right_too(installed):
    text = uncommented(MAIN).replace("/etc/healthd/notify", "/bin/true")
    text = text.replace("/etc/healthd/changed", "/bin/true").replace('"adm"', '"root"')
    (installed / "healthd.toml").write_text(text)
    for file in installed.glob("services.d/*.toml"):
        file.unlink()

    problems = load(installed).problems

    assert [problem.text for problem in problems] == [
        "no service is declared",
        "include: no file matches services.d/*.toml",
    ]


class Load(BaseHTTPRequestHandler):
    """Answers every request with the load that the server was given."""

    def do_GET(self):
        """Tell the load."""
        body = self.server.load.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


@pytest.mark.skipif(shutil.which("curl") is None, reason="the sample script asks with curl: apt install curl")
@pytest.mark.parametrize(
    ("load_told", "code", "last_line"),
    [
        ("30", 0, "load 30 % weight=70"),
        ("0", 0, "load 0 % weight=100"),
        ("95", 1, "overloaded: 95 %"),
        ("what", 1, "expected a load of 0 to 100 percent, got 'what'"),
    ],
)
def test_the_sample_script_works(load_told, code, last_line):
    with HTTPServer(("127.0.0.1", 0), Load) as server:
        server.load = load_told
        Thread(target=server.serve_forever, daemon=True).start()
        argv = [ETC / "scripts" / "check-load", "1", "0", "127.0.0.1", "0"]
        env = {"PATH": "/usr/bin:/bin", "LOAD_PORT": str(server.server_port), "no_proxy": "*"}
        ran = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30, check=False)
        server.shutdown()

    assert (ran.returncode, ran.stdout.splitlines()[-1:]) == (code, [last_line])


def unit(section):
    """One section of the unit: key -> values."""
    found = {}
    text = (ETC / "systemd" / "healthd.service").read_text()
    for line in text.partition(f"[{section}]")[2].partition("\n[")[0].splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_the_unit_gives_two_capabilities_and_no_more():
    service = unit("Service")

    assert service["AmbientCapabilities"] == service["CapabilityBoundingSet"] == ["CAP_NET_ADMIN CAP_NET_RAW"]
    assert service["NoNewPrivileges"] == ["yes"]
    assert service["User"] != ["root"]


def test_the_unit_speaks_with_the_daemon():
    service = unit("Service")

    assert service["Type"] == ["notify"]
    assert service["ExecReload"] == ["/usr/bin/healthd reload"]
    assert int(service["WatchdogSec"][0]) > 0
    assert service["RuntimeDirectory"] == [Settings().control.socket.parent.name]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_unit():
    argv = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", ETC / "systemd" / "healthd.service"]

    told = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stderr

    ours = [line for line in told.splitlines() if "healthd.service" in line and "is not executable" not in line]
    assert ours == []


def test_kernel_settings_are_settings_with_reasons():
    lines = (ETC / "sysctl.d" / "healthd.conf").read_text().splitlines()
    settings = [line for line in lines if line and not line.startswith("#")]

    assert all(re.fullmatch(r"net\.ipv4\.vs\.\w+ = \d+", line) for line in settings)
    assert {line.split(".")[3].split(" ")[0] for line in settings} >= {
        "expire_nodest_conn",
        "expire_quiescent_template",
    }
