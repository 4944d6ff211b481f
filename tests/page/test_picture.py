"""The picture of the README can be made anew, and is small enough to be in a repository."""

from __future__ import annotations

from pathlib import Path

from tests.page.picture import take

ROOT = Path(__file__).parents[2]
MOST = 150_000
PNG = b"\x89PNG\r\n\x1a\n"


async def test_the_picture_can_be_made(browser, tmp_path):
    """The browser is asked for so that the test is skipped where there is none."""
    folder = tmp_path / "d"
    folder.mkdir()
    await take(tmp_path / "page.png", folder, 0.0)
    assert (tmp_path / "page.png").read_bytes().startswith(PNG)
    assert (tmp_path / "page.png").stat().st_size < MOST


def test_the_readme_shows_a_picture_that_is_small():
    assert "](docs/pictures/page.png)" in (ROOT / "README.md").read_text()
    picture = (ROOT / "docs/pictures/page.png").read_bytes()
    assert picture.startswith(PNG)
    assert len(picture) < MOST
