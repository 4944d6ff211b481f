"""What a right service means: normalised values, defaults in layers, servers and fallbacks."""

from ipaddress import ip_address
from pathlib import Path

import pytest

from checks.http import HttpCheck
from healthd.check import Target
from healthd.config.problems import Severity
from healthd.config.schema import (
    Admin,
    Drift,
    ExecHook,
    Fallback,
    OnFailure,
    OnStop,
    Place,
    Settings,
    TableSettings,
)
from healthd.health import Thresholds
from healthd.model import (
    AddressKey,
    Checksum,
    DestSpec,
    Encapsulation,
    Family,
    Forwarding,
    FwmarkKey,
    Persistence,
    Protocol,
    SchedulerFlag,
    ServiceSpec,
    SyncDaemon,
    SyncState,
    Timeouts,
    Tunnel,
)
from healthd.prober.base import Cadence
from tests.config.writing import key, one, service_of, services_of


def test_the_example_of_the_design_means_what_it_says(folder):
    loaded = folder(
        www="""\
        [[service]]
        name       = "www"
        virtual    = "192.0.2.80:80"
        protocol   = "tcp"
        scheduler  = "wlc"
        forward    = "gate"
        persistent = { timeout = "5m", netmask = 32 }
        on_failure = "quiesce"
        fallback   = "127.0.0.1:80"

        [service.check]
        type     = "http"
        path     = "/healthz"
        status   = ["200-299"]
        interval = "2s"
        timeout  = "1s"
        rise = 2
        fall = 3

        [[service.real]]
        address = "10.0.0.11"
        weight  = 10
        """
    )

    service = service_of(loaded)
    file = str(folder.path / "services.d" / "www.toml")
    (real,) = service.reals
    (plan,) = real.checks
    assert loaded.problems == ()
    assert loaded.config.files == (str(folder.path / "healthd.toml"), file)
    assert (service.name, service.place) == ("www", Place(file, 1))
    assert service.key == AddressKey(Protocol.TCP, ip_address("192.0.2.80"), 80)
    assert service.spec == ServiceSpec("wlc", persistence=Persistence(300, 32))
    assert service.on_failure is OnFailure.QUIESCE
    assert service.fallback == Fallback(key("127.0.0.1", 80), DestSpec(Forwarding.GATE, 1))
    assert (real.key, real.spec) == (key("10.0.0.11", 80), DestSpec(Forwarding.GATE, 10))
    assert real.place == Place(file, 20)
    assert plan.check == HttpCheck(path="/healthz", status=("200-299",))
    assert plan.target == Target(ip_address("10.0.0.11"), 80)
    assert plan.cadence == Cadence(2.0, 1.0)
    assert plan.thresholds == Thresholds(2, 3)


def test_an_empty_file_gives_the_defaults_of_the_schema(folder):
    loaded = folder()

    assert loaded.config.settings == Settings()
    assert [problem.severity for problem in loaded.problems] == [Severity.WARNING]


def test_every_setting_arrives(folder):
    loaded = folder(
        """\
        [daemon]
        on_stop = "remove"
        [table]
        netns = "lb"
        drift = "adopt"
        resync = 30
        timeouts = { tcp = "15m", tcp_fin = 120, udp = "5m" }
        [[sync]]
        state = "master"
        interface = "eth1"
        id = 7
        max_length = 1400
        group = "224.0.0.99"
        port = 8849
        ttl = 2
        [[sync]]
        state = "backup"
        interface = "eth1"
        [prober]
        processes = 2
        in_flight = 100
        watch_neighbours = false
        [runner]
        user = "root"
        parallel = 3
        [control]
        socket = "/tmp/x.sock"
        group = "root"
        [log]
        to = "/var/log/healthd.log"
        format = "json"
        level = "debug"
        facility = "local0"
        [[hook]]
        command = ["/bin/true", "a b"]
        on = ["server-down", "server-up"]
        timeout = "3s"
        retries = 0
        """
    )

    settings = loaded.config.settings
    assert settings.on_stop is OnStop.REMOVE
    assert settings.table == TableSettings(
        "lb",
        Timeouts(900, 120, 300),
        (
            SyncDaemon(SyncState.MASTER, "eth1", 7, 1400, ip_address("224.0.0.99"), 8849, 2),
            SyncDaemon(SyncState.BACKUP, "eth1"),
        ),
        Drift.ADOPT,
        30.0,
    )
    assert (settings.prober.processes, settings.prober.in_flight, settings.prober.watch_neighbours) == (2, 100, False)
    assert (settings.runner.user, settings.runner.parallel) == ("root", 3)
    assert (settings.control.socket, settings.control.group) == (Path("/tmp/x.sock"), "root")
    log = settings.log
    assert (log.to, log.format, log.level, log.facility) == ("/var/log/healthd.log", "json", "debug", "local0")
    place = Place(str(folder.path / "healthd.toml"), 34)
    assert settings.hooks == (ExecHook(("/bin/true", "a b"), frozenset({"server-down", "server-up"}), 3.0, 0, place),)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ('scheduler = "sh"\nscheduler_flags = ["sh-port", "sh-fallback"]', SchedulerFlag.SCHED1 | SchedulerFlag.SCHED2),
        ('scheduler = "mh"\nscheduler_flags = "mh-port"', SchedulerFlag.SCHED2),
        ('scheduler = "mh"\nscheduler_flags = ["mh-fallback"]', SchedulerFlag.SCHED1),
        ('scheduler_flags = ["flag-1", "flag-3"]', SchedulerFlag.SCHED1 | SchedulerFlag.SCHED3),
        ("", SchedulerFlag.NONE),
    ],
)
def test_scheduler_flags_are_named(folder, head, expected):
    assert service_of(folder(one(head))).spec.flags == expected


@pytest.mark.parametrize(
    ("head", "expected", "engine"),
    [
        ('persistent = "10m"', Persistence(600, 32), None),
        ("persistent = 90", Persistence(90, 32), None),
        ('persistent = { netmask = "255.255.255.0" }', Persistence(300, 24), None),
        ('persistent = { timeout = "1h", prefix = 16 }', Persistence(3600, 16), None),
        ('protocol = "udp"\npersistent = { engine = "sip" }', Persistence(300, 32), "sip"),
    ],
)
def test_persistence_has_several_spellings(folder, head, expected, engine):
    spec = service_of(folder(one(head))).spec

    assert (spec.persistence, spec.engine) == (expected, engine)


def test_persistence_of_ipv6_is_of_whole_addresses_unless_said_otherwise(folder):
    text = one('persistent = "5m"', virtual='virtual = "[2001:db8::80]:80"', real='address = "2001:db8::11"')

    assert service_of(folder(text)).spec.persistence == Persistence(300, 128)


@pytest.mark.parametrize(
    ("word", "method"),
    [
        ("masq", Forwarding.MASQ),
        ("nat", Forwarding.MASQ),
        ("gate", Forwarding.GATE),
        ("route", Forwarding.GATE),
        ("dr", Forwarding.GATE),
        ("ipip", Forwarding.IPIP),
        ("tunnel", Forwarding.IPIP),
    ],
)
def test_forwarding_methods_have_synonyms(folder, word, method):
    (real,) = service_of(folder(one(f'forward = "{word}"'))).reals

    assert real.spec.forwarding is method


@pytest.mark.parametrize(
    ("text", "tunnel"),
    [
        ('"ipip"', Tunnel()),
        ('"gre"', Tunnel(Encapsulation.GRE)),
        ('{ type = "gre", checksum = "csum" }', Tunnel(Encapsulation.GRE, 0, Checksum.CSUM)),
        ('{ type = "gue", port = 6080 }', Tunnel(Encapsulation.GUE, 6080)),
        ('{ type = "gue", port = 6080, checksum = "remcsum" }', Tunnel(Encapsulation.GUE, 6080, Checksum.REMCSUM)),
    ],
)
def test_tunnels_have_kinds(folder, text, tunnel):
    (real,) = service_of(folder(one(f'forward = "ipip"\ntunnel = {text}'))).reals

    assert real.spec.tunnel == tunnel


def test_a_server_may_be_reached_another_way_than_its_service(folder):
    text = one('forward = "gate"', real='address = "10.0.0.11:8080"\nforward = "masq"\nupper = 9\nlower = 5')

    (real,) = service_of(folder(text)).reals

    assert (real.key, real.spec) == (key("10.0.0.11", 8080), DestSpec(Forwarding.MASQ, 1, 9, 5))


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        ('address = "10.0.0.11"', [("10.0.0.11", 80)]),
        ('address = "10.0.0.11:8080"', [("10.0.0.11", 8080)]),
        ('address = "10.0.0.11"\nport = 8080', [("10.0.0.11", 8080)]),
        ('address = "10.0.0.9-10.0.0.11"', [("10.0.0.9", 80), ("10.0.0.10", 80), ("10.0.0.11", 80)]),
        ('address = "10.0.0.255-10.0.1.0:81"', [("10.0.0.255", 81), ("10.0.1.0", 81)]),
    ],
)
def test_addresses_of_servers(folder, real, expected):
    service = service_of(folder(one('forward = "masq"', real=real)))

    assert [real.key for real in service.reals] == [key(*pair) for pair in expected]
    assert [real.checks[0].target for real in service.reals] == [Target(ip_address(a), p) for a, p in expected]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("2001:db8::11", [("2001:db8::11", 80)]),
        ("[2001:db8::11]:81", [("2001:db8::11", 81)]),
        ("[2001:db8::11-2001:db8::12]:81", [("2001:db8::11", 81), ("2001:db8::12", 81)]),
        ("2001:db8::f-2001:db8::10", [("2001:db8::f", 80), ("2001:db8::10", 80)]),
    ],
)
def test_addresses_of_ipv6_servers(folder, address, expected):
    text = one('forward = "masq"', real=f'address = "{address}"', virtual='virtual = "[2001:DB8:0::80]:80"')

    service = service_of(folder(text))

    assert service.key == AddressKey(Protocol.TCP, ip_address("2001:db8::80"), 80)
    assert [real.key for real in service.reals] == [key(*pair) for pair in expected]


def test_a_firewall_mark_has_servers_without_ports(folder):
    text = one(virtual='fwmark = 7\nfamily = "ipv6"', check='type = "tcp"\nport = 443', real='address = "2001:db8::11"')

    service = service_of(folder(text))

    assert (service.key, service.name) == (FwmarkKey(Family.IPV6, 7), "fwmark-7-ipv6")
    assert service.reals[0].key == key("2001:db8::11", 0)
    assert service.reals[0].checks[0].target.port == 443


def test_port_0_is_every_port_of_a_persistent_service(folder):
    text = one('persistent = "5m"', virtual='virtual = "192.0.2.80:0"', check='type = "tcp"\nport = 80')

    service = service_of(folder(text))

    assert (service.key.port, service.reals[0].key.port) == (0, 0)


def test_a_tunnel_reaches_the_other_family(folder):
    service = service_of(folder(one('forward = "ipip"', real='address = "2001:db8::11"')))

    assert service.reals[0].key == key("2001:db8::11", 80)


@pytest.mark.parametrize(
    ("forward", "fallback", "expected"),
    [
        ("gate", '"10.0.0.99"', Fallback(key("10.0.0.99", 80), DestSpec(Forwarding.GATE, 1))),
        ("masq", '"10.0.0.99"', Fallback(key("10.0.0.99", 80), DestSpec(Forwarding.MASQ, 1))),
        ("masq", '"10.0.0.99:8080"', Fallback(key("10.0.0.99", 8080), DestSpec(Forwarding.MASQ, 1))),
        ("masq", '"127.0.0.1"', Fallback(key("127.0.0.1", 80), DestSpec(Forwarding.GATE, 1))),
        (
            "gate",
            '{ address = "10.0.0.99", port = 81, forward = "masq", weight = 5 }',
            Fallback(key("10.0.0.99", 81), DestSpec(Forwarding.MASQ, 5)),
        ),
        (
            "gate",
            '{ address = "10.0.0.99", forward = "ipip", tunnel = "gre" }',
            Fallback(key("10.0.0.99", 80), DestSpec(Forwarding.IPIP, 1, tunnel=Tunnel(Encapsulation.GRE))),
        ),
    ],
)
def test_a_fallback_is_reached_as_the_servers_are_unless_it_is_this_machine(folder, forward, fallback, expected):
    assert service_of(folder(one(f'forward = "{forward}"\nfallback = {fallback}'))).fallback == expected


def test_operators_take_servers_and_services_out(folder):
    service = service_of(folder(one('admin = "drained"', real='address = "10.0.0.11"\nadmin = "maintenance"')))

    assert (service.admin, service.reals[0].admin) == (Admin.DRAINED, Admin.MAINTENANCE)


def test_defaults_lie_under_each_other(folder):
    main = """\
    [defaults]
    scheduler = "rr"
    forward = "masq"
    on_failure = "remove"
    [defaults.check]
    interval = "9s"
    rise = 5
    [defaults.real]
    weight = 50
    """
    own = '[defaults]\nscheduler = "sed"\n[defaults.check]\nrise = 6\n' + one(
        'on_failure = "quiesce"', 'type = "tcp"\nfall = 4'
    )

    service, other = services_of(folder(main, a=own, b=one(virtual='virtual = "192.0.2.81:80"')))

    assert (service.spec.scheduler, other.spec.scheduler) == ("sed", "rr")
    assert (service.on_failure, other.on_failure) == (OnFailure.QUIESCE, OnFailure.REMOVE)
    assert service.reals[0].spec == DestSpec(Forwarding.MASQ, 50)
    assert service.reals[0].checks[0].cadence.interval == 9.0
    assert service.reals[0].checks[0].thresholds == Thresholds(6, 4)
    assert other.reals[0].checks[0].thresholds == Thresholds(5, 3)
