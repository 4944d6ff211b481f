"""docs/hooks.md tells the truth: its events are what the code makes, its programs run."""

from __future__ import annotations

import re
import time

import pytest

from healthd.config.hooks import key_of
from healthd.config.load import load
from healthd.config.problems import Severity
from healthd.config.schema import ExecHook, LogSettings, Template
from healthd.events import Kind
from healthd.hooks import words
from healthd.hooks.exec import exec_hook
from healthd.hooks.webhook import signed

from . import document
from .samples import sample


def test_the_generated_part_is_current():
    text = document.PAGE.read_text()

    assert text == document.page(text), "run: python -m tests.hooks.document"


def test_every_variable_and_every_log_setting_is_named():
    text = document.PAGE.read_text()

    assert [name for name in words.variables(sample(Kind.STARTED)) if f"`{name}`" not in text] == []
    assert [name for name in LogSettings.__slots__ if f"\n{name} " not in text] == []


def test_the_tables_of_the_page_are_a_good_configuration(tmp_path):
    tables = re.findall(r"```toml\n(.*?)```", document.PAGE.read_text(), re.S)
    (tmp_path / "healthd.toml").write_text("\n".join(tables))
    loaded = load(tmp_path / "healthd.toml", strict_files=False)

    assert [problem for problem in loaded.problems if problem.severity is Severity.ERROR] == []
    assert loaded.config.settings.log == LogSettings()
    assert loaded.config.settings.hooks[0].timeout == 10.0
    assert {hook.template for hook in loaded.config.settings.hooks[1:]} == set(Template)


def test_the_receiver_of_the_page_knows_who_signed():
    (program,) = re.findall(r"```python\n(import base64.*?)```", document.PAGE.read_text(), re.S)
    names: dict = {}
    exec(program, names)
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body, now = b'{"events": []}', int(time.time())
    headers = signed("msg_1", now, body, key_of(secret))

    assert names["verified"](secret, headers, body)
    assert not names["verified"](secret, headers, body + b" ")
    assert not names["verified"](f"{secret[:-1]}x", headers, body)
    assert not names["verified"](secret, signed("msg_1", now - 900, body, key_of(secret)), body)


@pytest.mark.parametrize(
    ("language", "said"),
    [("sh", "10.0.0.11:80 is down, weight 0: no answer"), ("python", "server-down\n  www\n  set 10")],
)
async def test_the_programs_of_the_page_run(tmp_path, language, said):
    blocks = re.findall(rf"```{language}\n(#!.*?)```", document.PAGE.read_text(), re.S)
    program = tmp_path / "program"
    program.write_text(blocks[0])
    program.chmod(0o755)
    event = sample(Kind.SERVER_DOWN)
    hook = exec_hook(ExecHook((str(program), str(tmp_path / "out")), timeout=60.0))
    hook.event(event)
    await hook.close(60)

    assert hook.stats().last_error == ""
    assert said in (tmp_path / "out").read_text()
