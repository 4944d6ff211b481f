"""Who may import whom, and how long a file and a function may be. The tables here are the documentation of it.

Every file is parsed and all its imports are held to the tables, also those inside functions.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("healthd", "checks")

# Imports lead from the right to the left only: a module may import what stands in a layer before its own. Within a
# layer, what stands in one group may import each other; groups of one layer are strangers. A package stands for all
# that is in it and is not named itself.
LAYERS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    (
        "words",
        (
            ("healthd",),
            ("healthd.model",),
            ("healthd.option", "healthd.tls"),
            ("healthd.events",),
            ("healthd.commands.exits",),
        ),
    ),
    (
        "tools",
        (
            ("healthd.backoff",),
            ("healthd.aside", "healthd.folders", "healthd.hostnames"),
            ("healthd.outbox",),
            ("healthd.pidfile",),
            ("healthd.privileges",),
            ("healthd.sdnotify",),
            ("healthd.log.printable",),
        ),
    ),
    ("contracts", (("healthd.ops",), ("healthd.check",), ("healthd.log.entry",))),
    ("seams", (("healthd.health",), ("healthd.registry",), ("healthd.ipvs.base",), ("healthd.hooks.base",))),
    ("asking", (("healthd.prober.base",), ("healthd.children",))),
    ("declared", (("healthd.config.schema",),)),
    (
        "decision",
        (
            (
                "healthd.policy",
                "healthd.plan",
                "healthd.drift",
                "healthd.stopping",
                "healthd.preview",
                "healthd.narrate",
            ),
            ("healthd.assignment",),
        ),
    ),
    (
        "plumbing",
        (("healthd.ipvs",), ("healthd.prober", "healthd.runner"), ("healthd.config",), ("healthd.log",)),
    ),
    ("people", (("healthd.hooks",), ("healthd.control", "healthd.show"))),
    (
        "director",
        (
            (
                "healthd.director",
                "healthd.teller",
                "healthd.ledger",
                "healthd.roster",
                "healthd.claims",
                "healthd.view",
                "healthd.maintenance",
                "healthd.history",
                "healthd.missing",
                "healthd.operators",
                "healthd.overrides",
                "healthd.failures",
                "healthd.parts",
                "healthd.state",
            ),
            ("healthd.watching",),
        ),
    ),
    ("doctor", (("healthd.doctor",),)),
    (
        "outside",
        (("healthd.api",), ("healthd.effective",), ("healthd.explain",), ("healthd.top",), ("healthd.metrics",)),
    ),
    ("answers", (("healthd.console",),)),
    ("daemon", (("healthd.daemon", "healthd.startup", "healthd.signals"),)),
    ("commands", (("healthd.commands",),)),
    ("command line", (("healthd.cli", "healthd.__main__"),)),
)

# Modules that decide. They import each other and this much of the standard library: no clock, no loop, no socket, no
# log, nothing that could answer differently tomorrow.
PURE = frozenset(
    f"healthd.{name}"
    for name in (
        "model",
        "ops",
        "check",
        "option",
        "tls",
        "health",
        "policy",
        "plan",
        "drift",
        "stopping",
        "config.schema",
        "prober.base",
    )
)
PURE_LIBRARY = frozenset(
    ("__future__", "collections", "dataclasses", "enum", "functools", "heapq", "ipaddress", "itertools", "math")
) | {"operator", "pathlib", "re", "typing"}

# The one home of each library. A home is a module, or a package with all that is in it.
HOMES: Mapping[str, tuple[str, ...]] = {
    "aiohttp": ("healthd.api", "healthd.hooks.webhook"),
    "aiosmtplib": ("healthd.hooks.smtp",),
    "asyncinotify": ("healthd.folders",),
    "dns": ("checks.dns",),
    "h2": ("checks.grpc_call",),
    "httptools": ("checks.http_answer",),
    "oracledb": ("checks.oracle_session",),
    "prometheus_client": ("healthd.metrics",),
    "pyroute2": ("healthd.ipvs.namespace", "healthd.ipvs.netlink", "healthd.ipvs.watch"),
    "tomli": ("healthd.config",),
}

# where a distribution's module is not named as it is
MODULE_OF = {"dnspython": "dns", "prometheus-client": "prometheus_client"}

# A check knows the contract and its own library, and asks through steps. These of the standard library would let it
# go around them; a check whose library brings its own I/O is named.
CHECKS_KNOW = frozenset(("healthd.check",))
CHECKS_AVOID = frozenset(
    (
        "asyncio",
        "logging",
        "multiprocessing",
        "select",
        "selectors",
        "signal",
        "socket",
        "subprocess",
        "threading",
        "time",
    )
)
CHECKS_WITH_OWN_IO: Mapping[str, frozenset[str]] = {}
CHECKS_COMMAND = frozenset(("checks.__main__",))  # `python -m checks` asks through healthd's prober

LONGEST_FILE, LONGEST_FUNCTION = 400, 50


# --- reading ----------------------------------------------------------------------------------------------------


@cache
def sources() -> Mapping[str, ast.Module]:
    """Every module's name with its syntax tree."""
    return {_name(path): ast.parse(path.read_text()) for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(module: str) -> Iterator[str]:
    """Everything a module imports, by full name."""
    return _imports(module, ast.walk(sources()[module]))


def at_start(module: str) -> set[str]:
    """What a module imports when it is itself imported."""
    return set(_imports(module, sources()[module].body))


def _imports(module: str, nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: imports are written in full"
            yield from (_imported(str(node.module), alias.name) for alias in node.names)


def _imported(module: str, name: str) -> str:
    """`from healthd import plan` imports healthd.plan; `from healthd.plan import plan` does, too."""
    return f"{module}.{name}" if f"{module}.{name}" in sources() else module


def ours(module: str) -> set[str]:
    return {name for name in imports(module) if name.partition(".")[0] in PACKAGES}


def standard(module: str) -> set[str]:
    """The top names of the standard library that a module imports."""
    return {name.partition(".")[0] for name in imports(module)} & sys.stdlib_module_names


def below(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def place(module: str) -> tuple[int, int] | None:
    """The layer and group of a module: those of the longest name in the table that covers it."""
    found = [
        (len(name), layer, group)
        for layer, (_, groups) in enumerate(LAYERS)
        for group, names in enumerate(groups)
        for name in names
        if module == name or (name != "healthd" and module.startswith(f"{name}."))
    ]
    return max(found)[1:] if found else None


def modules(package: str) -> list[str]:
    return sorted(name for name in sources() if below(name, (package,)))


# --- rules ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", modules("healthd"))
def test_a_module_has_a_layer_and_imports_only_what_is_before_it(module):
    here = place(module)
    assert here is not None, f"{module} stands in no layer: decide where it belongs and add it to LAYERS"
    for name in ours(module) - {module}:
        there = place(name)
        assert there is not None, f"{module} imports {name}, which stands in no layer"
        assert there == here or there[0] < here[0], (
            f"{module} ({LAYERS[here[0]][0]}) must not import {name} ({LAYERS[there[0]][0]})"
        )


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_module_that_decides_is_pure(module):
    assert standard(module) <= PURE_LIBRARY
    assert ours(module) <= PURE
    assert {name.partition(".")[0] for name in imports(module)} <= sys.stdlib_module_names | {"healthd"}


@pytest.mark.parametrize("module", sorted(sources()))
def test_a_library_is_imported_at_its_home_only(module):
    for name in imports(module):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in PACKAGES:
            assert below(module, HOMES.get(top, ())), f"{module} must not import {name}: its home is {HOMES.get(top)}"


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_home_is_lived_in(library):
    for home in HOMES[library]:
        used = {name.partition(".")[0] for module in sources() if below(module, (home,)) for name in imports(module)}
        assert library in used, f"nothing in {home} imports {library}: take it out of HOMES"


def test_every_dependency_has_a_home_and_every_home_s_library_is_a_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    declared = [re.split(r"[<>=!~\[ ;]", line)[0] for line in chain(project["dependencies"], *extras)]
    assert {MODULE_OF.get(name, name) for name in declared} == HOMES.keys()


def test_every_module_named_here_exists():
    named = {name for _, groups in LAYERS for names in groups for name in names} | PURE | CHECKS_COMMAND
    assert named <= sources().keys()


@pytest.mark.parametrize("module", [name for name in modules("checks") if name not in CHECKS_COMMAND])
def test_a_check_knows_the_contract_only_and_does_no_io_of_its_own(module):
    assert {name for name in ours(module) if below(name, ("healthd",))} <= CHECKS_KNOW
    assert standard(module) & CHECKS_AVOID <= CHECKS_WITH_OWN_IO.get(module, frozenset())


@pytest.mark.parametrize("module", modules("healthd"))
def test_nothing_in_healthd_names_a_check_except_the_registry(module):
    assert not any(below(name, ("checks",)) for name in imports(module))
    if module != "healthd.registry":
        texts = [node.value for node in ast.walk(sources()[module]) if isinstance(node, ast.Constant)]
        assert not [text for text in texts if isinstance(text, str) and text.startswith("checks.")]


def test_no_modules_import_each_other_in_a_circle():
    # raises CycleError, which names the circle; what is imported only for types or only inside functions is no circle
    TopologicalSorter({module: at_start(module) & sources().keys() - {module} for module in sources()}).prepare()


def lengths(path: Path) -> Iterator[tuple[str, int]]:
    """Every function of a file with its number of lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (
                f"{path.relative_to(ROOT)}:{node.lineno} {node.name}",
                (node.end_lineno or node.lineno) - node.lineno + 1,
            )


@pytest.mark.parametrize("package", [*PACKAGES, "tests", "benchmarks", "setup"])
def test_no_file_is_too_long(package):
    files = {str(path): path.read_text().count("\n") for path in (ROOT / package).rglob("*.py")}
    assert {path: length for path, length in files.items() if length > LONGEST_FILE} == {}


@pytest.mark.parametrize("package", [*PACKAGES, "benchmarks", "setup"])
def test_no_function_is_too_long(package):
    functions = dict(pair for path in (ROOT / package).rglob("*.py") for pair in lengths(path))
    assert {name: length for name, length in functions.items() if length > LONGEST_FUNCTION} == {}
