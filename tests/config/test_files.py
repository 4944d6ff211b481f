"""Which files are read, what happens to those that cannot be, and how problems are told."""

import os
import re
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from checks.tcp import TcpCheck
from healthd.config.load import load
from healthd.config.problems import as_json, render
from tests.config.writing import one, service_of, services_of


def test_one_file_of_services_loads_by_itself(tmp_path):
    file = tmp_path / "www.toml"
    file.write_text(one())

    loaded = load(file)

    assert (loaded.problems, loaded.config.files) == ((), (str(file),))
    assert service_of(loaded).reals[0].checks[0].check == TcpCheck()


def test_included_files_are_read_once_and_in_order(folder):
    main = 'include = ["services.d/b.toml", "services.d/*.toml"]'

    loaded = folder(main, a=one(), b=one(virtual='virtual = "192.0.2.81:80"'))

    assert [Path(file).name for file in loaded.config.files] == ["healthd.toml", "b.toml", "a.toml"]


def test_a_folder_with_brackets_in_its_name_is_no_pattern(tmp_path):
    folder = tmp_path / "site[1]*"
    (folder / "services.d").mkdir(parents=True)
    (folder / "healthd.toml").write_text("")
    (folder / "services.d" / "www.toml").write_text(one())

    assert len(services_of(load(folder))) == 1


def test_hidden_files_and_backups_are_not_services(folder):
    (folder.path / "services.d").mkdir()
    (folder.path / "services.d" / ".www.toml").write_text("[[")
    (folder.path / "services.d" / "www.toml~").write_text("[[")

    assert len(services_of(folder(www=one()))) == 1


def test_windows_line_ends_and_a_byte_order_mark_are_no_problem(tmp_path):
    file = tmp_path / "www.toml"
    file.write_bytes(b"\xef\xbb\xbf" + one('forward = "gatt"').replace("\n", "\r\n").encode())

    (problem,) = load(file).problems

    assert (problem.span.line, problem.span.column, problem.source) == (3, 11, 'forward = "gatt"')


@pytest.mark.parametrize("nature", ["missing", "folder without healthd.toml", "pipe", "dangling link"])
def test_what_cannot_be_read_is_a_problem(tmp_path, nature):
    path = tmp_path / "x.toml"
    match nature:
        case "folder without healthd.toml":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "dangling link":
            path.symlink_to("nowhere")

    loaded = load(path)

    assert loaded.config is None
    assert [problem.text.partition(":")[0] for problem in loaded.problems] == ["cannot read"]


@contextmanager
def as_nobody():
    """Without root's right to read everything; other users lack it anyway."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("closed", ["healthd.toml", "services.d/www.toml", "services.d"])
def test_a_file_or_folder_without_permission_is_a_problem_not_an_absence(closed):
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "services.d").mkdir()
        (folder / "healthd.toml").write_text("")
        (folder / "services.d" / "www.toml").write_text(one())
        folder.chmod(0o755)
        assert load(folder).problems == ()
        (folder / closed).chmod(0)

        with as_nobody():
            loaded = load(folder)

        (folder / closed).chmod(0o755)

    assert loaded.config is None
    assert ["Permission denied" in problem.text for problem in loaded.problems] == [True]


def test_files_may_be_somewhere_else(folder):
    text = one(check='type = "script"\ncommand = "/nonexistent/check"')

    strict, lax = folder(text), load(folder.path, strict_files=False)

    assert strict.config is None
    assert lax.problems == ()


def test_problems_are_json(folder):
    (problem,) = folder('[daemon]\non_stop = "lave"\n[[service]]\n' + one().removeprefix("[[service]]\n")).problems

    assert as_json(problem) == {
        "severity": "error",
        "file": str(folder.path / "healthd.toml"),
        "line": 2,
        "column": 11,
        "width": 6,
        "path": ["daemon", "on_stop"],
        "text": 'on_stop: expected "leave", "quiesce" or "remove", found "lave"; did you mean \'leave\'?',
        "expected": '"leave", "quiesce" or "remove"',
        "found": '"lave"',
        "suggestion": "leave",
        "source": 'on_stop = "lave"',
    }


def test_color_is_only_color(folder):
    problems = folder("a = 1\n").problems

    colored = render(problems, color=True)

    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render(problems)


def test_a_pattern_that_matches_its_own_file_does_not_read_it_twice(folder):
    (folder.path / "www.toml").write_text(one())

    loaded = folder('include = ["*.toml"]')

    assert [Path(file).name for file in loaded.config.files] == ["healthd.toml", "www.toml"]


def test_what_lies_in_a_closed_folder_is_a_problem():
    with TemporaryDirectory() as name:
        folder = Path(name) / "closed"
        folder.mkdir()
        Path(name).chmod(0o755)
        folder.chmod(0)

        with as_nobody():
            loaded = [load(path) for path in (folder, folder / "services.d", folder / "healthd.toml")]

        folder.chmod(0o755)

    assert [one.problems[0].text for one in loaded] == ["cannot read: Permission denied"] * 3


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    with (tmp_path / "x.toml").open("wb") as file:
        file.truncate(65 * 1024 * 1024)

    assert [problem.text for problem in load(tmp_path / "x.toml").problems] == ["cannot read: it is larger than 64 MiB"]


def test_a_path_that_no_system_has_is_a_problem():
    assert load(Path("a\0b")).problems[0].text.startswith("cannot read")


def test_a_number_too_long_to_read_is_a_problem(tmp_path):
    (tmp_path / "x.toml").write_text("a = " + "9" * 5000)

    assert load(tmp_path / "x.toml").problems[0].text.startswith("not valid TOML")
