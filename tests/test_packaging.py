"""The wheel: what a user installs has everything, runs, and says the right version."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import healthd

ROOT = Path(__file__).parents[1]
SHARE = ROOT / "packaging" / "share"
OF_THE_WHEEL = re.compile(r"healthd-[^/]+\.(dist-info|data)/")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources without a network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("healthd", "checks", "packaging", "etc"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out], cwd=source, check=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory into which the wheel was installed, without its dependencies."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else ["uv", "pip"]
    subprocess.run(
        [*pip, "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel], check=True, cwd=target
    )
    return target


def metadata(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (path for path in archive.namelist() if path.endswith(f".dist-info/{name}"))
        return archive.read(path).decode()


def head(wheel: Path) -> Message:
    return Parser().parsestr(metadata(wheel, "METADATA"))


def run(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the installed copy before everything else, away from the sources."""
    environment = {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=installed, env=environment, capture_output=True, text=True, check=False
    )


def test_the_wheel_holds_every_source_file_and_both_type_marks(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if not OF_THE_WHEEL.match(name)}
    sources = {
        str(path.relative_to(ROOT))
        for package in ("healthd", "checks")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == sources
    assert {"healthd/py.typed", "checks/py.typed"} <= packed


def is_source(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def test_man_pages_completion_the_schema_and_the_samples_come_along(installed):
    share = {str(path.relative_to(installed / "share")) for path in (installed / "share").rglob("*") if is_source(path)}
    made = {str(path.relative_to(SHARE)) for path in SHARE.rglob("*") if path.is_file()}
    samples = {str(path.relative_to(ROOT / "etc")) for path in (ROOT / "etc").rglob("*") if is_source(path)}

    assert made == {
        "man/man8/healthd.8",
        "man/man5/healthd.toml.5",
        "bash-completion/completions/healthd",
        "zsh/site-functions/_healthd",
        "fish/vendor_completions.d/healthd.fish",
        "healthd/healthd.schema.json",
    }
    assert share == made | {f"doc/healthd/examples/{name}" for name in samples}


def test_the_wheel_is_for_every_machine_and_says_the_package_s_version(wheel):
    assert wheel.name == f"healthd-{healthd.__version__}-py3-none-any.whl"
    assert head(wheel)["Version"] == healthd.__version__


def test_the_wheel_names_the_versions_of_python_it_is_for(wheel):
    assert set(str(head(wheel)["Requires-Python"]).split(",")) == {">=3.11", "<3.14"}


def test_the_command_is_an_entry_point_that_exists(wheel, installed):
    points = ConfigParser()
    points.read_string(metadata(wheel, "entry_points.txt"))
    assert dict(points["console_scripts"]) == {"healthd": "healthd.cli:main"}
    assert (installed / "bin" / "healthd").exists()


def test_the_installed_copy_runs_and_says_its_version(installed):
    told = run(installed, "-m", "healthd", "--version")
    assert (told.returncode, told.stdout.strip()) == (0, f"healthd {healthd.__version__}"), told.stderr
    where = run(installed, "-c", "import healthd, checks; print(healthd.__file__, checks.__file__)")
    assert where.stdout.split() == [str(installed / name / "__init__.py") for name in ("healthd", "checks")]


def test_every_module_of_the_installed_copy_can_be_imported(installed):
    told = run(installed, "-c", IMPORT_ALL)
    assert told.returncode == 0, told.stderr


IMPORT_ALL = """
import importlib, pkgutil
import checks, healthd
OPTIONAL = {"oracledb"}
for package in (healthd, checks):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            try:
                importlib.import_module(found.name)
            except ModuleNotFoundError as error:
                if error.name not in OPTIONAL:
                    raise
"""
