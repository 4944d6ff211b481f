"""What is made from the commands and the tables is current, complete, and right in the eyes of those who read it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from healthd import registry
from healthd.cli import COMMANDS
from healthd.config.decode import keys_of
from healthd.config.settings import REPEATED, SINGLE
from healthd.config.tables import CheckTable, RealTable, ServiceTable
from tests.packages.shells import SHARE

ROOT = Path(__file__).parents[2]
PAGES = [SHARE / "man/man8/healthd.8", SHARE / "man/man5/healthd.toml.5"]
NO_DATE = re.compile(r'WARNING: missing date, using "": TH$')  # a page that is made has none


def test_what_is_made_is_current():
    told = subprocess.run(
        [sys.executable, ROOT / "packaging/reference", "--check"],
        env={"HEALTHD_CONFIG": "/nowhere", "HEALTHD_SOCKET": "/nowhere", "HEALTHD_LOCKS": "/nowhere", "COLUMNS": "40"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_page_and_in_every_shell_s_completion(name):
    page, configuration = (path.read_text().replace("\\", "") for path in PAGES)
    scripts = [path for path in SHARE.rglob("*healthd*") if "complet" in str(path) or "zsh" in str(path)]

    assert f'.SS "healthd {name}"' in page
    assert configuration
    assert len([path for path in scripts if path.is_file() and re.search(rf"\b{name}\b", path.read_text())]) == 3


def test_every_table_key_and_check_is_in_the_page_of_the_configuration():
    text = PAGES[1].read_text().replace("\\-", "-")
    tables = [ServiceTable, RealTable, CheckTable, *SINGLE.values(), *REPEATED.values()]

    assert [name for name in registry.BUILT_IN if f'.SS "type = \\(dq{name}\\(dq"' not in text] == []
    assert [name for name in SINGLE if f'.SS "[{name}]"' not in text] == []
    assert [key for table in tables for key in keys_of(table) if f".TP\n\\fB{key}\\fR\n" not in text] == []


@pytest.mark.skipif(shutil.which("man") is None, reason="man pages: apt install man-db")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_man_has_nothing_to_warn_of_and_shows_the_page(page):
    shown = subprocess.run(
        ["man", "--warnings", "--encoding=UTF-8", "--local-file", page],
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "100", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert shown.stderr == ""
    assert "SEE ALSO" in shown.stdout
    assert "\\f" not in shown.stdout


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="man pages: apt install mandoc")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_finds_no_fault_in_the_page(page):
    told = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True, check=False).stdout

    assert [line for line in told.splitlines() if not NO_DATE.search(line)] == []
