"""How operators name servers, and what comes of several overrides that hold for one."""

from __future__ import annotations

import pytest

from healthd.config.schema import Admin
from healthd.overrides import Override, OverrideKind, Scope, UnknownName, covering, find, wishes
from healthd.policy import Wish
from tests.support.builders import DNS, MAIL, WWW, A, B, C, dest, real, service

SIX = dest("2001:db8::1")
ALT = dest("10.0.0.11", 8080)
WEB = service(real(A, name="web1"), real(B, name="web2"), real(SIX))
POST = service(real(ALT, name="web1"), real(C), key=MAIL, name="mail")
SERVICES = [WEB, POST]


def override(kind=OverrideKind.DRAIN, service="", server="", *, since=1.0, weight=None, who="amy", why=""):
    return Override(Scope(service, server), kind, who, why, since, None, weight)


# --- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "scope"),
    [
        (["www"], Scope("www")),
        (["192.0.2.80:80/tcp"], Scope("www")),
        (["10.0.0.12:80"], Scope("", "10.0.0.12:80")),
        (["10.0.0.11"], Scope("", "10.0.0.11")),
        (["web2"], Scope("", "10.0.0.12:80")),
        (["web1"], Scope("", "10.0.0.11")),
        (["www", "web1"], Scope("www", "10.0.0.11:80")),
        (["192.0.2.25:25/tcp", "10.0.0.11"], Scope("mail", "10.0.0.11")),
        (["2001:DB8:0::1"], Scope("", "2001:db8::1")),
        (["[2001:db8::1]"], Scope("", "2001:db8::1")),
        (["www", "[2001:db8::1]:80"], Scope("www", "[2001:db8::1]:80")),
    ],
)
def test_a_service_a_server_or_a_host_is_named_by_one_word_or_two(words, scope):
    assert find(words, SERVICES) == scope


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["wwww"], "no service and no real server is called 'wwww'; did you mean www?"),
        (["10.0.0.13:8O"], "10.0.0.13:80"),
        (["ww", "web1"], "no service is called 'ww'; did you mean www?"),
        (["www", "10.0.0.13"], "service 'www' has no real server '10.0.0.13'; did you mean"),
        (["mail", "zzz"], "service 'mail' has no real server 'zzz'; there is 10.0.0.11, 10.0.0.11:8080, 10.0.0.13"),
    ],
)
def test_a_wrong_name_gets_a_suggestion(words, said):
    with pytest.raises(UnknownName) as caught:
        find(words, SERVICES)
    assert said in str(caught.value)


def test_a_name_that_servers_at_several_addresses_have_is_not_guessed():
    twice = service(real(A, name="web"), real(B, name="web"))
    with pytest.raises(UnknownName, match=r"several servers are called 'web': 10\.0\.0\.11:80, 10\.0\.0\.12:80"):
        find(["web"], [twice])


def test_there_may_be_nothing_to_name():
    with pytest.raises(UnknownName, match=r"^no service and no real server is called 'www'$"):
        find(["www"], [])


# --- what comes of them -----------------------------------------------------------------------------------------


def test_a_host_is_covered_in_every_service_and_at_every_port():
    found = wishes([override(server="10.0.0.11")], SERVICES)
    assert found == {(WWW, A): Wish(Admin.DRAINED, "amy"), (MAIL, ALT): Wish(Admin.DRAINED, "amy")}


@pytest.mark.parametrize(
    ("scope", "covered"),
    [
        (Scope("www"), {(WWW, A), (WWW, B), (WWW, SIX)}),
        (Scope("", "10.0.0.11:80"), {(WWW, A)}),
        (Scope("mail", "10.0.0.11"), {(MAIL, ALT)}),
        (Scope("", "2001:db8::1"), {(WWW, SIX)}),
        (Scope("dns"), set()),
    ],
)
def test_a_scope_covers(scope, covered):
    one = Override(scope, OverrideKind.REMOVE, "amy", "", 0.0)
    assert wishes([one], SERVICES).keys() == covered


def test_nothing_is_wished_where_nothing_is_asked():
    assert wishes([], SERVICES) == {}


def test_of_several_overrides_the_strongest_state_and_the_most_precise_weight_count():
    given = [
        override(OverrideKind.WEIGHT, "www", weight=1),
        override(OverrideKind.WEIGHT, "", "10.0.0.11", weight=2),
        override(OverrideKind.WEIGHT, "", "10.0.0.11:80", weight=3),
        override(OverrideKind.WEIGHT, "www", "10.0.0.11", weight=4),
        override(OverrideKind.WEIGHT, "www", "10.0.0.11:80", weight=5),
    ]
    weights = [wishes(given[:count], [WEB])[WWW, A].weight for count in range(1, 6)]
    assert weights == [1, 2, 3, 4, 5]
    drained = override(OverrideKind.DRAIN, "www", who="bob", why="new kernel")
    assert wishes([*given, drained], [WEB])[WWW, A] == Wish(Admin.DRAINED, "bob: new kernel", 5)


def test_of_equally_precise_ones_the_newest_is_first():
    older, newer = override(server="10.0.0.11:80", since=1.0), override(server="10.0.0.11:80", since=2.0)
    assert covering([older, newer], WEB, WEB.reals[0]) == [newer, older]


def test_a_service_that_comes_later_is_covered_as_well():
    later = service(real(A), key=DNS, name="dns")
    assert (DNS, A) in wishes([override(server="10.0.0.11")], [WEB, later])


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        (Scope("www"), "service www"),
        (Scope("", "10.0.0.11"), "10.0.0.11 in every service"),
        (Scope("www", "10.0.0.11:80"), "10.0.0.11:80 of www"),
    ],
)
def test_a_scope_in_words(scope, text):
    assert str(scope) == text
