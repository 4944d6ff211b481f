"""What healthd relies on in every built-in check: values that are equal, hashed, pickled and described as expected."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import pickle
from ipaddress import ip_address
from typing import Any

import pytest

from checks.script import ScriptCheck
from healthd.check import AsyncCheck, Binding, BoundCheck, Check, Tls
from healthd.config.options import option_keys
from healthd.registry import BUILT_IN, check_class
from tests.checks.harness import V4

TLS = Tls(server_name="a.example")
SAMPLES: dict[str, dict[str, Any]] = {
    "tcp": {"send": b"a", "expect": "b+", "tls": TLS},
    "http": {"path": "/x", "status": ("2xx", "404"), "expect": "b+", "headers": (("A", "b"),), "tls": TLS},
    "http_proxy": {"url": "https://a.example/x", "expect": "b+", "username": "joe", "password": "x", "tls": TLS},
    "dns": {"name": "www.example", "answers": ("192.0.2.1",), "tls": TLS},
    "udp": {"payload": b"a", "expect_hex": "XX", "reply": "optional"},
    "ping": {"size": 9, "count": 2},
    "script": {"command": "/bin/true", "env": (("A", "b"),), "pass_codes": ("0-3",)},
    "perl": {"command": "/usr/lib/check.pl", "env": (("A", "b"),)},
    "sip": {"user": "joe@a.example", "status": ("200", "4xx"), "tls": TLS},
    "smtp": {"expect": "b+", "user": "joe", "auth": "plain", "recipient": "joe@a.example", "starttls": TLS},
    "imap": {"expect": "b+", "capabilities": ("IDLE",), "user": "joe", "mailbox": "INBOX", "starttls": TLS},
    "pop": {"expect": "b+", "user": "joe", "auth": "apop", "tls": TLS},
    "on": {},
    "off": {},
    "pgsql": {"user": "joe", "expect": "b+", "tls": TLS},
    "mysql": {"user": "joe", "expect": "b+", "tls": TLS},
    "oracle": {"user": "joe", "service": "app", "expect": "b+"},
    "ssh": {"expect": "b+"},
    "ftp": {"file": "a", "expect": "b+", "starttls": TLS},
    "nntp": {"group": "a.b", "capabilities": ("READER",), "starttls": TLS},
    "memcached": {"stats": (("a", "b+"),), "key": "c", "expect": "d", "tls": TLS},
    "grpc": {"service": "a", "authority": "a.example:1", "tls": TLS},
    "mqtt": {"version": "5.0", "client_id": "a", "topic": "b/#", "expect": "c", "tls": TLS},
    "ntp": {"max_stratum": 3, "max_distance": 0.5},
    "redis": {"key": "a", "expect": "b+", "max_lag": 3, "tls": TLS},
    "ldap": {"user": "cn=joe", "password": "x", "attributes": ("mail",), "expect": "b+", "starttls": TLS},
    "radius": {"secret": "s", "user": "joe", "method": "chap", "attributes": (("NAS-Port", "1"),), "tls": TLS},
}


def made(kind: str) -> Any:
    return check_class(kind)(**SAMPLES[kind])


def test_there_is_a_sample_of_every_check():
    assert SAMPLES.keys() == BUILT_IN.keys()


@pytest.mark.parametrize("kind", SAMPLES)
def test_it_is_a_frozen_value_by_its_options_alone(kind: str):
    check = made(kind)
    assert check == made(kind)
    assert hash(check) == hash(made(kind))
    assert len({made(one) for one in SAMPLES}) == len(SAMPLES)
    assert not hasattr(check, "__dict__")
    for name in SAMPLES[kind]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(check, name, None)


@pytest.mark.parametrize("kind", SAMPLES)
def test_it_goes_to_another_process_and_is_the_same_there(kind: str):
    check = made(kind)
    again = pickle.loads(pickle.dumps(check))
    assert again == check
    assert repr(again) == repr(check)
    private = [f.name for f in dataclasses.fields(check) if f.name.startswith("_")]
    assert [getattr(again, name) for name in private] == [getattr(check, name) for name in private]


@pytest.mark.parametrize("kind", SAMPLES)
def test_it_is_what_the_registry_says_and_describes_itself(kind: str):
    cls = check_class(kind)
    assert cls.kind == kind
    assert isinstance(made(kind), Check) != isinstance(made(kind), AsyncCheck)
    assert inspect.getdoc(cls)
    for key in option_keys(cls).values():
        assert key.doc, key.name
        assert not key.doc.endswith("."), key.name
    secret = {key.name for key in option_keys(cls).values() if key.secret}
    assert secret == {name for name in option_keys(cls) if "password" in name or "secret" in name}


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_probe_is_a_new_conversation(kind: str):
    check = made(kind)
    if isinstance(check, AsyncCheck):
        assert asyncio.iscoroutinefunction(check.probe)
        return
    first, second = check.converse(V4), check.converse(V4)
    assert first is not second
    first.close()
    second.close()


def test_a_bound_script_is_a_check_of_its_row():
    check = ScriptCheck("/bin/true")
    assert isinstance(check, BoundCheck)
    row = Binding("web", "192.0.2.80", 80, ip_address("10.0.0.11"), 8080)
    bound = check.bound(row)
    assert isinstance(bound, Check)
    assert bound == pickle.loads(pickle.dumps(bound)) == check.bound(row)
    assert bound != check.bound(dataclasses.replace(row, service="other"))
    assert (bound.kind, bound.needs_port) == ("script", False)
