"""What the doctor says of the kernel."""

from __future__ import annotations

from dataclasses import replace

from healthd.doctor import kernel
from healthd.doctor.facts import Kernel, Rights
from healthd.doctor.findings import Level
from healthd.model import Persistence, ServiceSpec
from healthd.privileges import Capability
from tests.doctor.judging import SCHEDULERS, facts, only, server, wrong
from tests.support.builders import service

BARE = Kernel("6.18.44")


def test_a_kernel_with_ipvs_and_all_schedulers_is_in_order():
    assert wrong(kernel, facts()) == []


def test_a_module_that_only_needs_loading_is_a_warning_with_the_command():
    found = only(kernel, facts(kernel=replace(BARE, loadable=SCHEDULERS)))
    assert (found.level, found.commands[0]) == (Level.WARNING, "modprobe ip_vs")


def test_a_kernel_without_ipvs_is_an_error_that_names_the_way_out():
    found = only(kernel, facts(kernel=BARE))
    assert found.level is Level.ERROR
    assert "Linux 6.18.44, has no IPVS" in found.seen
    assert "CONFIG_IP_VS" in found.do
    assert "--table memory" in found.do


def test_modules_that_may_not_be_loaded_any_more_do_not_count():
    found = only(kernel, facts(kernel=replace(BARE, loadable=frozenset({"ip_vs", "ip_vs_wlc"}), sealed=True)))
    assert "no module may be loaded any more" in found.seen


def test_a_scheduler_that_is_not_installed_is_named_with_its_services():
    spec = ServiceSpec("mh", persistence=Persistence(300, 32), engine="sip")
    found = wrong(kernel, facts(service(server(), spec=spec, name="voice")))
    assert [one.seen for one in found] == [
        "the module ip_vs_mh is not installed; it is for voice",
        "the module ip_vs_pe_sip is not installed; it is for voice",
    ]


def test_a_scheduler_that_is_not_loaded_counts_as_missing_where_loading_is_over():
    sealed = Kernel("6.1", "1.2.1", 4096, 0, frozenset({"ip_vs"}), SCHEDULERS, sealed=True)
    assert only(kernel, facts(kernel=sealed)).seen == "the module ip_vs_wlc is not loaded; it is for www"


def test_nothing_is_said_of_schedulers_where_modules_cannot_be_listed():
    assert wrong(kernel, facts(kernel=Kernel("6.1", "1.2.1", 4096))) == []


def test_a_table_that_may_not_be_read_is_an_error_only_for_who_should_be_able_to():
    seen = facts(kernel=replace(facts().kernel, table_error="no permission"))
    assert only(kernel, seen).level is Level.HINT
    root = replace(seen, us=Rights("root", frozenset(Capability)))
    assert only(kernel, root).level is Level.ERROR


def test_a_crowded_connection_table_is_a_hint_with_a_size_that_fits():
    found = only(kernel, facts(kernel=replace(facts().kernel, connections=300_000)))
    assert found.level is Level.HINT
    assert "conn_tab_bits=19" in found.commands[0]


def test_a_namespace_that_is_not_there_is_all_there_is_to_say():
    found = only(kernel, facts(namespace_error="no network namespace 'lb'", kernel=BARE))
    assert (found.id, found.level) == ("kernel.namespace", Level.ERROR)
