"""The picture of `healthd top` in the README."""

from __future__ import annotations

import html
import re
from xml.etree import ElementTree

from tests.top.picture import PICTURE, draw


def words(picture: str) -> str:
    """All text of a picture."""
    return html.unescape(" ".join(re.findall(r"<text [^>]*>([^<]*)</text>", picture))).replace("\xa0", " ")


def test_the_picture_is_made_of_a_real_daemon_and_needs_nothing_from_elsewhere(tmp_path):
    picture = draw(tmp_path)

    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert "url(http" not in picture
    assert "8 servers" in words(picture)
    assert "up, drained by ann" in words(picture)
    assert "no server of mail takes connections" in words(picture)
    assert str(tmp_path) not in words(picture)


def test_the_picture_that_is_there_is_one_of_top():
    assert "LAST ANSWER" in words(PICTURE.read_text())
    assert "fallback in use" in words(PICTURE.read_text())
