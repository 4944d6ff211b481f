"""Any tree gives a configuration or at least one error, never an exception; and every problem can be shown."""

import copy
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from healthd.config.decode import keys_of
from healthd.config.load import load
from healthd.config.problems import Severity, render
from healthd.config.settings import REPEATED, SINGLE
from healthd.config.tables import CheckTable, FallbackTable, PersistentTable, RealTable, ServiceTable, TunnelTable
from tests.config.writing import document

REAL = {"address": "10.0.0.11-10.0.0.12", "port": 80, "weight": 3, "forward": "masq", "upper": 9, "lower": 3}
CHECK = {"type": "http", "path": "/x", "tls": {"verify": False}, "interval": "2s", "timeout": 1, "rise": 2, "port": 81}
SCRIPT = {"type": "script", "label": "s", "command": "/bin/true", "args": ["{address}"], "env": {"A": "b"}}
SERVICE = {
    "name": "www",
    "virtual": "192.0.2.80:80",
    "scheduler": "sh",
    "scheduler_flags": ["sh-port"],
    "persistent": {"timeout": "5m", "netmask": "255.255.255.0"},
    "forward": "ipip",
    "tunnel": {"type": "gue", "port": 6080, "checksum": "csum"},
    "fallback": {"address": "10.0.0.99", "weight": 2},
    "check": [CHECK, SCRIPT],
    "real": [REAL, {"address": "10.0.0.21", "forward": "tunnel", "check": {"label": "s", "fall": 9}}],
}
MARK = {
    "fwmark": 7,
    "family": "ipv6",
    "check": {"type": "tcp", "port": 443},
    "real": [{"address": "2001:db8::11", "check": []}, {"address": "2001:db8::12"}],
}
WHOLE = {
    "include": [],
    "daemon": {"on_stop": "leave"},
    "table": {"timeouts": {"tcp": "15m"}, "drift": "adopt"},
    "sync": [{"state": "master", "interface": "eth0"}],
    "hook": [{"command": ["/bin/true"], "on": ["server-up"]}],
    "defaults": {"scheduler": "rr", "check": {"interval": "9s"}, "real": {"weight": 5}},
    "service": [SERVICE, MARK],
}
TABLES = (ServiceTable, RealTable, CheckTable, FallbackTable, PersistentTable, TunnelTable)
TABLES += (*SINGLE.values(), *REPEATED.values())
NAMES = sorted({name for table in TABLES for name in keys_of(table)} | {"path", "tls", "command", "check", "real", "x"})

NUMBERS = [0, 1, -1, 70000, 2**32, 2**63 - 1, True, False, 0.5, float("inf"), float("nan"), 10**400]
WORDS = [
    "",
    "5m",
    "tcp",
    "http",
    "script",
    "ping",
    "dns",
    "sh",
    "mh-port",
    "udp",
    "sctp",
    "masq",
    "gate",
    "ipip",
    "gue",
]
ADDRESSES = ["10.0.0.1", "10.0.0.1:99", "::1", "[::1]:5", "10.0.0.1-10.0.0.9", "a.b", "255.255.0.0", "127.0.0.1:0"]
OTHERS = ["/", "/bin/true", "\0", "é", "(", "{x}"]
SCALARS = st.sampled_from([*NUMBERS, *WORDS, *ADDRESSES, *OTHERS]) | st.text(max_size=6)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=10,
)


def places(tree, path=()):
    """Every path of a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for step, value in list(items):
        yield (*path, step)
        yield from places(value, (*path, step))


@st.composite
def damaged(draw):
    """A right configuration to which a few things have happened."""
    tree = copy.deepcopy(WHOLE)
    for _ in range(draw(st.integers(0, 4))):
        path = draw(st.sampled_from(sorted(places(tree), key=repr)))
        holder = tree
        for step in path[:-1]:
            holder = holder[step]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                holder[path[-1]] = draw(ANYTHING)
            case "remove":
                del holder[path[-1]]
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from(NAMES))] = draw(ANYTHING)
        if not tree:
            break
    return tree


def assert_told(tree):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "healthd.toml"
        file.write_text(document(tree))
        loaded = load(file)
    errors = [problem for problem in loaded.problems if problem.severity is Severity.ERROR]
    assert (loaded.config is None) == bool(errors)
    assert bool(render(loaded.problems)) == bool(loaded.problems)
    return loaded


def test_the_tree_that_gets_damaged_is_right():
    assert assert_told(WHOLE).problems == ()


@settings(max_examples=60, deadline=None)
@given(damaged())
def test_a_damaged_configuration_is_a_configuration_or_a_list_of_errors(tree):
    assert_told(tree)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from([*WHOLE, *NAMES]), ANYTHING, max_size=5))
def test_any_tree_is_a_configuration_or_a_list_of_errors(tree):
    assert_told(tree)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_any_file_is_a_configuration_or_a_list_of_errors(data):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "healthd.toml"
        file.write_bytes(data)
        loaded = load(file)

    assert loaded.config is not None or loaded.problems
    render(loaded.problems)
