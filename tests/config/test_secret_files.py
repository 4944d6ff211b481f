"""Secrets of checks that stand in files: their own, or those that systemd hands over."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthd.config.load import Loaded, load
from healthd.config.problems import render

CONFIG = """
[[service]]
name = "www"
virtual = "192.0.2.80:80"
[service.check]
type = "imap"
user = "probe"
password = {password}
[[service.real]]
address = "10.0.0.11"
"""


def loaded(folder: Path, password: str, **options) -> Loaded:
    path = folder / "healthd.toml"
    path.write_text(CONFIG.format(password=password))
    return load(path, **options)


def password_of(found: Loaded) -> str:
    assert found.config is not None, render(found.problems)
    return found.config.services[0].reals[0].checks[0].check.password


def test_the_first_line_of_a_file_is_the_password(tmp_path):
    file = tmp_path / "secret"
    file.write_text("s3cret\u00fc word\r\nand a remark\n")
    assert password_of(loaded(tmp_path, f'{{ file = "{file}" }}')) == "s3cret\u00fc word"


def test_a_name_without_a_path_is_a_credential_of_systemd(tmp_path, monkeypatch):
    (tmp_path / "imap").write_text("s3cret")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert password_of(loaded(tmp_path, '{ file = "imap" }')) == "s3cret"


def test_files_that_are_not_to_be_looked_at_are_not(tmp_path):
    assert password_of(loaded(tmp_path, '{ file = "/nowhere/secret" }', strict_files=False)) == "***"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "has nothing in its first line"),
        (b"\xff\xfe", "cannot be read: it is not UTF-8"),
    ],
)
def test_a_file_that_is_of_no_use_is_told_with_its_place(tmp_path, content, said):
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    found = loaded(tmp_path, f'{{ file = "{file}" }}')
    assert found.config is None
    text = render(found.problems)
    assert f"password: {file} {said}" in text
    assert "healthd.toml:8:" in text


def test_without_credentials_a_name_is_told_to_be_none(tmp_path, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert "systemd has given us no credentials" in render(loaded(tmp_path, '{ file = "imap" }').problems)


def test_what_is_wrong_with_a_secret_of_a_file_is_told_without_it(tmp_path):
    file = tmp_path / "secret"
    file.write_text("s3\x00cret")
    text = render(loaded(tmp_path, f'{{ file = "{file}" }}').problems)
    assert "password:" in text
    assert "s3" not in text
    assert "cret\x00" not in text


@pytest.mark.parametrize("value", ["{ fil = 'x' }", "{ file = 'x', more = 'y' }", "{ file = 3 }", "[1]"])
def test_another_form_is_refused(tmp_path, value):
    found = loaded(tmp_path, value)
    assert found.config is None
    assert 'password: expected a text, or { file = "/path/of/a/file" }' in render(found.problems)
