"""Events with whatever values their fields may have, in whatever order of time: the engine and the counting of minutes
go on, and what is decided can be written down as a policy or is refused by its rules.
"""

from enum import StrEnum
from typing import Any

import pytest
from haetae_fds import Engine, EngineSettings, EventInvalid, Subject
from haetae_fds.alerts import SpikeDetector, WindowCounter
from haetae_fds.delivery.effects import Live, effect_of
from haetae_fds.event import _KINDS, _NAMES, MAX_INTEGER, MAX_TIME, SCHEMA_VERSION, decode_event
from haetae_fds.ledger import CAP, Ledger
from haetae_fds.state import MIN10
from haetae_policy import PolicyInvalid, Source, SourceKind
from haetae_policy.parse import parse_new_policy
from haetae_policy.rules import DEFAULT_RULES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NOW = 1_795_000_000_000
TEXTS = [
    "",
    "a",
    "x" * 512,
    "\x00\x1b[2J",
    "\u2028",
    "POST /login",
    "GET /é",
    "POST /a//b/../c",
    "POST /{",
    "{}/**",
    "|",
    "%",
]
IPS = ["203.0.113.9", "198.51.100.7", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0", "0.1.2.3", "::", "127.0.0.1"]
TIMES = [0, 1, NOW, NOW + 1, NOW + 5000, NOW - 10**6, NOW + 10**6, NOW + 10**10, MAX_TIME]


def values(name: str) -> st.SearchStrategy[Any]:
    kind, optional = _KINDS[name]
    if name == "ip":
        some: st.SearchStrategy[Any] = st.sampled_from(IPS)
    elif issubclass(kind, StrEnum):
        some = st.sampled_from([word.value for word in kind])
    elif kind is bool:
        some = st.booleans()
    elif kind is int:
        some = st.sampled_from([0, 1, -1, 200, 401, 404, 500, MAX_INTEGER, -MAX_INTEGER])
    elif kind is float:
        some = st.sampled_from([0.0, -1.0, 1e308])
    else:
        some = st.sampled_from(TEXTS)
    return st.none() | some if optional else some


rows = st.tuples(*(values(name) for name in _NAMES[2:]))


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.large_base_example, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(st.tuples(st.sampled_from(TIMES), rows), min_size=3, max_size=12))
def test_no_event_stops_the_engine_or_makes_what_cannot_be_a_policy(
    given_rows: list[tuple[int, tuple[Any, ...]]],
) -> None:
    engine, live = Engine(EngineSettings(narrow_ms=0, decoy_accounts=frozenset({"a"}), sensitive=(".*",))), Live()
    minutes, spikes = WindowCounter(), SpikeDetector()
    for number, (ts, row) in enumerate(given_rows):
        event = decode_event([SCHEMA_VERSION, f"e{number}", ts, *row])
        for minute, windows in minutes.observe(event):
            spikes.minute(minute, windows)
        for decision in engine.observe(event):
            assert decision.to_json()
            effect = effect_of(decision, live)
            if effect is None or effect.document is None:
                continue
            try:
                parse_new_policy(
                    effect.document,
                    policy_id=effect.policy_id,
                    source=Source(kind=SourceKind.FDS, name=decision.detector),
                    now_ms=decision.ts,
                    rules=DEFAULT_RULES.for_asking(),
                )
            except PolicyInvalid:
                continue


def test_offence_that_a_wild_clock_dated_years_ahead_counts_as_one_of_now() -> None:
    ledger, subject = Ledger(), Subject(ip="203.0.113.9")
    ledger.lifetime(subject, MIN10, CAP, MAX_TIME)
    life, repeat = ledger.lifetime(subject, MIN10, CAP, NOW)
    assert repeat == 1
    assert 3.6 * MIN10 <= life <= 4.4 * MIN10


@pytest.mark.parametrize("ts", [-1, MAX_TIME + 1, MAX_INTEGER])
def test_what_is_no_time_is_refused_before_it_can_name_a_policy(ts: int) -> None:
    with pytest.raises(EventInvalid, match="ts"):
        decode_event([SCHEMA_VERSION, "e", ts, "app"])
