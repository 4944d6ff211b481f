"""What may come over a director: configurations, wishes of operators, edits by strangers, as hypothesis draws them."""

from __future__ import annotations

from hypothesis import strategies as st

from healthd.config.schema import Admin, OnFailure, RealServer, ServiceConfig
from healthd.health import Thresholds
from healthd.model import DestKey, ServiceKey
from healthd.ops import AddDest, AddService, DelDest, DelService, SetDest, SetService
from healthd.policy import Wish
from tests.support.builders import MAIL, SORRY, STICKY, STRANGER, WLC, WWW, A, B, C, check, real, row, service

NAMES = {WWW: "www", MAIL: "mail"}


@st.composite
def servers(draw: st.DrawFn, key: DestKey) -> RealServer:
    limits = Thresholds(draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    words = draw(st.sampled_from([("one",), ("two",), ("one", "two")]))
    asking = draw(st.booleans()) and len(words) == 1
    checks = [check(key, limits, word=word, asks_weight=asking) for word in words]
    admin = draw(st.sampled_from([Admin.ENABLED] * 3 + [Admin.DRAINED, Admin.MAINTENANCE, Admin.REMOVED]))
    return real(key, draw(st.integers(0, 3)), *checks, admin=admin)


@st.composite
def services(draw: st.DrawFn, key: ServiceKey) -> ServiceConfig:
    keys = draw(st.lists(st.sampled_from([A, B, C]), unique=True, max_size=3))
    return service(
        *[draw(servers(each)) for each in sorted(keys, key=lambda k: k.rank)],
        key=key,
        name=NAMES[key],
        spec=draw(st.sampled_from([WLC, STICKY])),
        on_failure=draw(st.sampled_from(OnFailure)),
        fallback=draw(st.booleans()),
        admin=draw(st.sampled_from([Admin.ENABLED, Admin.ENABLED, Admin.ENABLED, Admin.DRAINED])),
    )


def service_lists() -> st.SearchStrategy[list[ServiceConfig]]:
    return st.sampled_from([[WWW], [WWW, MAIL], [MAIL], []]).flatmap(
        lambda keys: st.tuples(*[services(key) for key in keys]).map(list)
    )


wish_lists = st.dictionaries(
    st.tuples(st.sampled_from([WWW, MAIL]), st.sampled_from([A, B, C, STRANGER])),
    st.builds(Wish, st.sampled_from(Admin), st.just("because"), st.none() | st.integers(0, 4)),
)
dests = st.sampled_from([A, B, C, SORRY, STRANGER])
keys = st.sampled_from([WWW, MAIL])
edits = st.one_of(
    st.builds(lambda k, d, w: AddDest(k, d, row(w)), keys, dests, st.integers(0, 4)),
    st.builds(lambda k, d, w: SetDest(k, d, row(w)), keys, dests, st.integers(0, 4)),
    st.builds(DelDest, keys, dests),
    st.builds(DelService, keys),
    st.builds(AddService, keys, st.sampled_from([WLC, STICKY])),
    st.builds(SetService, keys, st.sampled_from([WLC, STICKY])),
)
