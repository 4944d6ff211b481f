"""Read strictly, a file means to us exactly what it means to the installed ldirectord."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from healthd.config.ldirectord.loading import text_of
from tests.config.ldirectord import oracle
from tests.config.ldirectord.writing import files

HERE = Path(__file__).parent
EDGE = json.loads((HERE / "edge.json").read_text())
SAMPLES = sorted((HERE / "samples").glob("*.cf"))
FILES = 400

needs_ldirectord = pytest.mark.skipif(
    not oracle.PROGRAM.exists() or shutil.which("perl") is None, reason="needs the package ldirectord"
)


def subject(message):
    """The part of a message that tells which it is; what it quotes we quote in other ways."""
    return message.split('"')[0].strip().split(":")[0][:15]


def assert_same(text, theirs):
    mine = oracle.ours(text)
    assert theirs["died"] is None, text
    assert mine["ok"] == theirs["ok"], (text, mine["errors"], theirs["errors"])
    if theirs["ok"]:
        assert (mine["globals"], mine["virtuals"]) == (theirs["globals"], theirs["virtuals"]), text
        return
    (line, message), (our_line, our_message) = theirs["errors"][0], mine["errors"][0]
    assert subject(our_message) == subject(message), text
    assert our_line == line or "duplicate" in message, text


@pytest.mark.parametrize("name", sorted(EDGE))
def test_a_case_that_was_recorded_is_read_alike(name, tmp_path):
    case = EDGE[name]
    if name.startswith("v_monitorfile"):
        case = {**case, "text": case["text"].replace("/run/mf.log", "/dev/null")}
    mine = oracle.ours(case["text"])

    assert mine["ok"] == case["ok"]
    if case["ok"]:
        recorded = oracle.texts({"globals": case["globals"], "virtuals": case["virtuals"]})
        if name.startswith("v_monitorfile"):
            recorded["virtuals"][0]["monitorfile"] = "/dev/null "
        assert (mine["globals"], mine["virtuals"]) == (recorded["globals"], recorded["virtuals"])
    else:
        first = case["messages"][0]
        assert f"at line {mine['errors'][0][0]}" in first or "duplicate" in first
        assert subject(mine["errors"][0][1]) in first


@needs_ldirectord
def test_the_recorded_cases_are_what_the_installed_program_says():
    texts = [case["text"] for case in EDGE.values()]
    for text, theirs in zip(texts, oracle.ask_texts(texts), strict=True):
        assert_same(text, theirs)


@needs_ldirectord
def test_every_sample_is_read_alike():
    for sample, theirs in zip(SAMPLES, oracle.ask(SAMPLES), strict=True):
        text, _ = text_of(sample.name, sample.read_bytes())
        assert_same(text, oracle.normal(theirs))


@needs_ldirectord
def test_generated_files_are_read_alike():
    texts: list[str] = []

    @settings(
        max_examples=FILES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(files())
    def collect(text):
        texts.append(text)

    collect()
    answers = oracle.ask_texts(texts)
    for text, theirs in zip(texts, answers, strict=True):
        assert_same(text, theirs)
    right = sum(answer["ok"] for answer in answers)
    assert FILES // 8 < right < FILES, f"{right} of {len(texts)} are right: too few of one sort to mean anything"
