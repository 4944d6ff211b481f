"""Names of checks -> their classes.

The literal map is the list of built-in checks; others come from installed packages by the entry-point group
`healthd.checks` (name = "package.module:Class"). A check's module is imported when its name is first asked for.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from healthd.check import AsyncCheck, Check

BUILT_IN = {
    "tcp": "checks.tcp:TcpCheck",
    "http": "checks.http:HttpCheck",
    "http_proxy": "checks.http_proxy:HttpProxyCheck",
    "dns": "checks.dns:DnsCheck",
    "udp": "checks.udp:UdpCheck",
    "ping": "checks.ping:PingCheck",
    "script": "checks.script:ScriptCheck",
    "perl": "checks.perl:PerlCheck",
    "sip": "checks.sip:SipCheck",
    "smtp": "checks.smtp:SmtpCheck",
    "imap": "checks.imap:ImapCheck",
    "pop": "checks.pop:PopCheck",
    "on": "checks.fixed:OnCheck",
    "off": "checks.fixed:OffCheck",
    "pgsql": "checks.pgsql:PgsqlCheck",
    "mysql": "checks.mysql:MysqlCheck",
    "oracle": "checks.oracle:OracleCheck",
    "ssh": "checks.ssh:SshCheck",
    "ftp": "checks.ftp:FtpCheck",
    "nntp": "checks.nntp:NntpCheck",
    "redis": "checks.redis:RedisCheck",
    "memcached": "checks.memcached:MemcachedCheck",
    "ntp": "checks.ntp:NtpCheck",
    "mqtt": "checks.mqtt:MqttCheck",
    "grpc": "checks.grpc:GrpcCheck",
    "ldap": "checks.ldap:LdapCheck",
    "radius": "checks.radius:RadiusCheck",
}


class UnknownCheck(LookupError):
    """No check of that name is built in or installed."""


@cache
def _plugins() -> dict[str, str]:
    return {entry.name: entry.value for entry in entry_points(group="healthd.checks")}


def names() -> list[str]:
    """Every known name, sorted."""
    return sorted({*BUILT_IN, *_plugins()})


@cache
def check_class(name: str) -> type[Check] | type[AsyncCheck]:
    """The class of a check. Raises UnknownCheck, or ImportError if its module (or a library it needs) is missing."""
    where = BUILT_IN.get(name) or _plugins().get(name)
    if where is None:
        raise UnknownCheck(name)
    module, _, attribute = where.partition(":")
    found: type[Check] | type[AsyncCheck] = getattr(import_module(module), attribute)
    return found
