"""The files of a configuration on disk: which they are, where changes of them show, and what counts as a change."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthd.config.disk import ABSENT, EMPTY, Files
from healthd.watching import changed_names
from tests.config.writing import one


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "services.d").mkdir()
    (tmp_path / "healthd.toml").write_text("")
    (tmp_path / "services.d" / "www.toml").write_text(one())
    return tmp_path


def test_a_look_tells_every_file_by_its_content(folder):
    files = Files(folder)
    before = files.look()
    assert list(before.digests) == [str(folder / "healthd.toml"), str(folder / "services.d" / "www.toml")]
    (folder / "services.d" / "a.toml").write_text("")
    (folder / "healthd.toml").unlink()
    after = files.look([str(folder / "elsewhere.toml")])
    assert after.digests[str(folder / "healthd.toml")] == after.digests[str(folder / "elsewhere.toml")] == ABSENT
    assert after.digests[str(folder / "services.d" / "a.toml")] == EMPTY
    assert [Path(name).name for name in changed_names(before, after)] == ["elsewhere.toml", "healthd.toml", "a.toml"]


def test_a_change_that_shows_in_no_time_of_the_file_is_seen(folder):
    """Clocks of file systems are coarse: two savings in a row may bear the same times."""
    files, file = Files(folder), folder / "services.d" / "www.toml"
    for number in range(50):
        file.write_text(f"# {number:03}")
        first = files.look()
        file.write_text(f"# {number + 500:03}")
        assert files.look() != first


@pytest.mark.parametrize("include", ['["a\\u0000*"]', "5", '["[", "**/**/x*"]', '["/proc/1/fd/*"]'])
def test_an_include_that_means_nothing_is_no_fault(folder, include):
    (folder / "healthd.toml").write_text(f"include = {include}")
    assert next(iter(Files(folder).look().digests)) == str(folder / "healthd.toml")


def test_a_file_of_ldirectord_includes_nothing(tmp_path):
    (tmp_path / "services.d").mkdir()
    (tmp_path / "services.d" / "www.toml").write_text(one())
    file = tmp_path / "ldirectord.cf"
    file.write_text("autoreload = yes\nvirtual=192.0.2.80:80\n\treal=10.0.0.11:80 gate\n")
    assert list(Files(file).look().digests) == [str(file)]


def test_folders_are_those_of_links_and_of_what_they_lead_to(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "main.toml").write_text("")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "healthd.toml").symlink_to(tmp_path / "real" / "main.toml")
    (tmp_path / "circle").symlink_to("circle")
    seen = Files(tmp_path / "links").look([str(tmp_path / "circle")])
    assert seen.folders == {tmp_path / "links", tmp_path / "real", tmp_path / "links" / "services.d", tmp_path}
