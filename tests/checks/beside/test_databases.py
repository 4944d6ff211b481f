"""mysql, pgsql and ldap: ldirectord's checks beside ours."""

from __future__ import annotations

import pytest

from tests.checks.beside.cases import (
    Case,
    compare,
    down,
    hanging,
    needs_ldirectord,
    needs_module,
    nobody,
    only_ours,
    unanswered,
    up,
)
from tests.checks.servers_ldap import slapd
from tests.checks.servers_mysql import mariadb
from tests.checks.servers_pgsql import postgres

pytestmark = [pytest.mark.real, needs_ldirectord]
JOE, ANN, RIGHT, WRONG = 'login = "joe"', 'login = "ann"', 'passwd = "secret"', 'passwd = "wrong"'
ONE, NO_DATABASE = 'request = "SELECT 1"', 'database = "none"'


def test_mysql(tmp_path):
    needs_module("DBD::mysql", "libdbd-mysql-perl")
    mysql, app = "service = mysql", 'database = "app"'
    asked = {
        "SELECT * FROM numbers": up,
        "SELECT NULL": up,
        "SHOW TABLES": up,
        "CALL healthy()": up,
        "UPDATE numbers SET seq = seq": up,
        "UPDATE numbers SET seq = 1 WHERE seq > 99": down,
        "SELECT * FROM numbers WHERE seq > 99": down,
        "SET @a = 1": down,
        "SELECT * FROM none": down,
        "SELEKT 1": down,
        "SELECT 1; SELECT 2": down,
    }
    with mariadb() as served, nobody() as ports:
        port = served.port
        cases: list[Case] = [
            *(kind(query, port, mysql, JOE, RIGHT, app, f'request = "{query}"') for query, kind in asked.items()),
            up("no database", port, mysql, JOE, RIGHT, ONE),
            down("no such database", port, mysql, JOE, RIGHT, NO_DATABASE, ONE),
            down("a wrong password", port, mysql, JOE, WRONG, app, ONE),
            down("an unknown user", port, mysql, ANN, RIGHT, ONE),
            up("no password is needed", port, mysql, 'login = "free"', ONE),
            only_ours("B23", "no query", port, mysql, JOE, RIGHT, warning="request: login and request must be given"),
            only_ours("B23", "nobody", port, mysql, ONE, warning="login: login and request must be given"),
            down("nothing listens", ports.refusing, mysql, JOE, RIGHT, ONE),
            hanging(ports.silent, mysql, JOE, RIGHT, ONE),
        ]
        compare(tmp_path, cases)


def test_pgsql(tmp_path):
    needs_module("DBD::Pg", "libdbd-pg-perl")
    pgsql, postgres_, table = "service = pgsql", 'database = "postgres"', "pg_database"
    asked = {
        f"SELECT * FROM {table}": up,
        "SELECT NULL": up,
        "SHOW server_version": up,
        "SELECT 1 WHERE false; SELECT 2": up,
        "SELECT 1; SELECT 2 WHERE false": down,
        f"UPDATE {table} SET datname = datname": up,
        f"UPDATE {table} SET datname = datname WHERE false": down,
        "SELECT 1 WHERE false": down,
        "SET application_name = 'a'": down,
        "SELECT * FROM none": down,
        "SELEKT 1": down,
    }
    with postgres() as served, nobody() as ports:
        port = served.port
        cases: list[Case] = [
            *(kind(query, port, pgsql, JOE, RIGHT, postgres_, f'request = "{query}"') for query, kind in asked.items()),
            down("no database of his name", port, pgsql, JOE, RIGHT, ONE),
            down("no such database", port, pgsql, JOE, RIGHT, NO_DATABASE, ONE),
            down("a wrong password", port, pgsql, JOE, WRONG, postgres_, ONE),
            down("an unknown user", port, pgsql, ANN, RIGHT, postgres_, ONE),
            up("no password is needed", port, pgsql, 'login = "trusted"', postgres_, ONE),
            up("a password as of old", port, pgsql, 'login = "old"', RIGHT, postgres_, ONE),
            up("a password as it is", port, pgsql, 'login = "clear"', RIGHT, postgres_, ONE),
            only_ours("B23", "no query", port, pgsql, JOE, RIGHT, postgres_, warning="request: login and request must"),
            only_ours("B23", "nobody", port, pgsql, ONE, warning="login: login and request must be given"),
            down("nothing listens", ports.refusing, pgsql, JOE, RIGHT, postgres_, ONE),
            hanging(ports.silent, pgsql, JOE, RIGHT, postgres_, ONE),
        ]
        compare(tmp_path, cases)


def test_ldap(tmp_path):
    ldap, ldaps, tree = "service = ldap", "service = ldaps", 'request = "dc=example,dc=test"'
    joe = 'login = "cn=joe,ou=people,dc=example,dc=test"'
    private, far, none = (f'request = "ou={name},dc=example,dc=test"' for name in ("private", "far", "none"))
    with slapd() as served, nobody() as ports:
        port = served.port
        cases = [
            up("anybody may ask", port, ldap, tree),
            up("the name matches", port, ldap, tree, 'receive = "^dc=example,dc=test$"'),
            down("another name", port, ldap, tree, 'receive = "dc=com"'),
            up("the root", port, ldap),
            down("the root has no name", port, ldap, 'receive = "dc"'),
            down("no such base", port, ldap, 'request = "dc=none"'),
            down("no such entry", port, ldap, none),
            down("an entry that is elsewhere", port, ldap, far),
            up("joe may look", port, ldap, joe, RIGHT, private),
            down("others may not", port, ldap, private),
            down("a wrong password", port, ldap, joe, WRONG, tree),
            up("no password", port, ldap, joe, tree),
            *unanswered(ports, ldap, tree),
            up("over TLS, whoever certified it", served.secure, ldaps, tree),
            down("a wrong password over TLS", served.secure, ldaps, joe, WRONG, tree),
            *unanswered(ports, ldaps, tree),
        ]
        compare(tmp_path, cases)
