"""A folder to write a configuration into and load it from."""

import textwrap

import pytest

from healthd.config.load import load


@pytest.fixture
def folder(tmp_path):
    """Writes files into a fresh folder and loads it; a text alone is its healthd.toml."""

    def write_and_load(main="", **services):
        (tmp_path / "healthd.toml").write_text(textwrap.dedent(main))
        (tmp_path / "services.d").mkdir(exist_ok=True)
        for name, text in services.items():
            (tmp_path / "services.d" / f"{name}.toml").write_text(textwrap.dedent(text))
        return load(tmp_path)

    write_and_load.path = tmp_path
    return write_and_load
