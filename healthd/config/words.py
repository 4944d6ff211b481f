"""Words that operators of other directors bring along, and where what they mean is said here."""

from __future__ import annotations

from collections.abc import Mapping

OTHER_WORDS: Mapping[str, str] = {
    # ldirectord
    "quiescent": "'on_failure'",
    "checktype": "'type' in [service.check]",
    "checkinterval": "'interval' in [service.check]",
    "checktimeout": "'timeout' in [service.check]",
    "negotiatetimeout": "'timeout' in [service.check]",
    "checkport": "'port' in [service.check]",
    "checkcommand": "'command' in [service.check] with type = \"script\"",
    "failurecount": "'fall' in [service.check]",
    "request": "'path' in [service.check]",
    "receive": "'expect' in [service.check]",
    "virtualhost": "'host' in [service.check]",
    "netmask": "'netmask' in 'persistent'",
    "schedflags": "'scheduler_flags'",
    "ops": "'one_packet'",
    "cleanstop": "'on_stop' of the service, or in [daemon]",
    # keepalived
    "lb_algo": "'scheduler'",
    "lvs_sched": "'scheduler'",
    "lb_kind": "'forward'",
    "lvs_method": "'forward'",
    "sorry_server": "'fallback'",
    "persistence_timeout": "'persistent'",
    "persistence_granularity": "'netmask' in 'persistent'",
    "delay_loop": "'interval' in [service.check]",
    "connect_timeout": "'timeout' in [service.check]",
    "retry": "'fall' in [service.check]",
    "inhibit_on_failure": "'on_failure'",
    "real_server": "[[service.real]]",
    "virtual_server": "[[service]]",
    "uthreshold": "'upper' in [[service.real]]",
    "lthreshold": "'lower' in [[service.real]]",
    "real6": "[[service.real]]",
    "virtual6": "'virtual'",
}
