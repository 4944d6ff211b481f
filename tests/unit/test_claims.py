"""Two processes that want the same virtual services: the second is refused, and told by whom."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from healthd.claims import AlreadyClaimed, Claims, ClaimsImpossible, holders, lock_file, offset_of
from healthd.ipvs.namespace import NamespaceMissing
from healthd.model import Family, FwmarkKey
from tests.support.builders import DNS, MAIL, WWW

OTHER = """
import sys
from healthd.claims import AlreadyClaimed, Claims
from tests.support.builders import DNS, MAIL, WWW
claims = Claims(__import__("pathlib").Path(sys.argv[1]))
for line in sys.stdin:
    verb, *names = line.split()
    try:
        getattr(claims, verb)([globals()[name] for name in names])
        print("done", flush=True)
    except AlreadyClaimed as error:
        print(error, flush=True)
"""


class Other:
    """Another process with claims, which does what it is told."""

    def __init__(self, path: Path) -> None:
        command = [sys.executable, "-c", OTHER, str(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, order: str) -> str:
        """Give an order; what it said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "table-1.lock"


@pytest.fixture
def claims(path: Path) -> Iterator[Claims]:
    claims = Claims(path)
    yield claims
    claims.close()


@pytest.fixture
def other(path: Path) -> Iterator[Callable[[str], str]]:
    other = Other(path)
    yield other
    other.end()


def test_a_service_has_one_keeper_who_is_named(claims, other, path):
    assert other("take WWW MAIL") == "done"
    with pytest.raises(AlreadyClaimed) as caught:
        claims.take([WWW])
    assert str(WWW) in str(caught.value)
    assert f"process {other.process.pid}" in str(caught.value)
    assert str(path) in str(caught.value)


def test_daemons_with_different_services_share_a_table(claims, other):
    assert other("take WWW") == "done"
    claims.take([MAIL, DNS])
    assert f"process {os.getpid()}" in other("take MAIL")


def test_who_is_refused_keeps_what_it_had_and_nothing_more(claims, other):
    """A reload that names somebody else's service must not leave half of its new claims behind."""
    assert other("take WWW") == "done"
    claims.take([DNS])
    with pytest.raises(AlreadyClaimed):
        claims.take([DNS, MAIL, WWW])
    assert "already kept" in other("take DNS")
    assert other("take MAIL") == "done"


def test_what_is_let_go_can_be_taken(claims, other):
    claims.take([WWW, MAIL])
    claims.keep([MAIL])
    assert other("take WWW") == "done"
    assert "already kept" in other("take MAIL")


def test_the_claims_of_a_process_end_with_it(claims, other):
    assert other("take WWW") == "done"
    other.end()
    claims.take([WWW])


def test_a_child_does_not_share_the_claims(claims, other):
    """The lock file is closed in what we start, and its end lets nothing go."""
    claims.take([WWW])
    subprocess.run(["/bin/true"], check=True, close_fds=False)
    assert "already kept" in other("take WWW")


def test_who_keeps_services_can_be_asked_by_somebody_without_claims(other, path):
    assert holders(path, [WWW]) == frozenset()
    assert other("take WWW") == "done"
    assert holders(path, [WWW, MAIL]) == {other.process.pid}
    assert holders(path, [MAIL]) == frozenset()
    assert "already kept" not in other("take MAIL")


def test_a_lock_file_that_is_a_link_tells_nothing(tmp_path):
    (tmp_path / "table-1.lock").symlink_to(tmp_path / "elsewhere")
    assert holders(tmp_path / "table-1.lock", [WWW]) is None


def test_the_lock_file_of_a_table_is_that_of_its_namespace(tmp_path):
    assert lock_file(None, tmp_path) == lock_file("/proc/self/ns/net", tmp_path)
    with pytest.raises(NamespaceMissing):
        lock_file("no-such-namespace", tmp_path)


def test_a_folder_that_cannot_be_had_is_one_sentence_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ClaimsImpossible, match="--locks") as caught:
        Claims(tmp_path / "file" / "table-1.lock")
    assert str(tmp_path / "file") in str(caught.value)


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "table-1.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ClaimsImpossible):
        Claims(tmp_path / "table-1.lock")
    assert not (tmp_path / "elsewhere").exists()


def test_services_have_different_bytes():
    keys = [WWW, MAIL, DNS, *(FwmarkKey(family, number) for number in range(1, 500) for family in Family)]
    assert len({offset_of(key) for key in keys}) == len(keys)
