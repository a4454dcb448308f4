"""The compiled table against the naive matcher, and the promises worth naming one by one."""

import dataclasses

from haetae_policy.changes import Delete, Put
from haetae_policy.facts import ApiFacts, Facts, Verdict
from haetae_policy.model import Action, Api, Rate, Subject
from haetae_policy.network import address_key, parse_network
from haetae_policy.record import Record
from haetae_policy.table import PolicyTable
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.policy.naive_matcher import judge, judge_early, judge_throttles
from tests.policy.policy_strategies import T0, api_facts, facts, pid, records

API = ApiFacts("app", "transfer", "POST", "/api/v1/transfers/9")
IP = address_key("203.0.113.7")
EXEMPT = ("10.0.0.0/8", "203.0.113.8")
deletes = st.builds(Delete, pid=st.integers(1, 12).map(pid), ver=st.integers(1, 4), seq=st.just(0))
changes = st.one_of(records(), records(), records(), deletes)


def block(number: int = 1, **fields: object) -> Record:
    base = Record(pid=pid(number), ver=1, exp_ms=T0 + 60_000, action=Action.BLOCK, subject=Subject(user="u"), api=Api())
    return dataclasses.replace(base, **fields)  # type: ignore[arg-type]


def table_of(*given_records: Record, exempt: tuple[str, ...] = ()) -> PolicyTable:
    table = PolicyTable(machine_exempt=[parse_network(text) for text in exempt])
    for number, record in enumerate(given_records, 1):
        table.apply(Put(record, seq=number))
    return table


def throttles_of(verdict: Verdict | None) -> set[int]:
    """Every throttle that a verdict asks for a token."""
    if verdict is None or verdict.action is not Action.THROTTLE:
        return set()
    assert all(other.rate is not None and other.bucket is not None for other in (verdict, *verdict.also))
    return {verdict.pid, *(other.pid for other in verdict.also)}


@settings(max_examples=400)
@given(
    history=st.lists(changes, max_size=25),
    requests=st.lists(st.tuples(facts, api_facts, st.integers(-1000, 6000)), min_size=1, max_size=6),
    sweep_at=st.integers(0, 25),
)
def test_table_answers_like_the_naive_matcher_whatever_was_put_deleted_or_swept(
    history: list[Record | Delete], requests: list[tuple[Facts, ApiFacts, int]], sweep_at: int
) -> None:
    table = PolicyTable(machine_exempt=[parse_network(text) for text in EXEMPT])
    model: dict[int, Record] = {}
    for number, change in enumerate(history):
        if number == sweep_at:
            table.sweep(before_ms=T0 - 1000, limit=100)
        held = model.get(change.pid)
        if isinstance(change, Delete):
            table.apply(change)
            if held is not None and held.ver <= change.ver:
                del model[change.pid]
        else:
            table.apply(Put(change, seq=number))
            if held is None or held.ver < change.ver:
                model[change.pid] = change
    assert len(table) == len(model)
    for who, what, offset in requests:
        now_ms = T0 + offset
        observed: list[Verdict] = []
        verdict = table.check(who, what, now_ms, observed=observed)
        expected, noted = judge(model.values(), who, what, now_ms, EXEMPT)
        assert (verdict and verdict.pid) == expected
        assert throttles_of(verdict) == judge_throttles(model.values(), who, what, now_ms, EXEMPT)
        assert {note.pid for note in observed} == noted
        assert len(observed) == len(noted)
        if who.ip is not None:
            early = table.check_early(who.ip, what, now_ms)
            assert (early and early.pid) == judge_early(model.values(), who.ip, what, now_ms, EXEMPT)


@given(history=st.lists(changes, max_size=30))
def test_an_emptied_table_keeps_nothing(history: list[Record | Delete]) -> None:
    table = PolicyTable()
    for number, change in enumerate(history):
        table.apply(change if isinstance(change, Delete) else Put(change, seq=number))
    for number in range(1, 13):
        table.apply(Delete(pid(number), ver=9, seq=99))
    rows = table._rows
    assert len(table) == 0
    assert rows.index.keyed == ()
    assert rows.index.everyone == {}
    assert rows.index.v4.size == rows.index.v6.size == 0
    assert rows.index.v4._blocks == rows.index.v6._blocks == {}
    assert rows.index.v4._short == rows.index.v6._short == ()
    assert not rows.exceptions
    assert not rows.residuals
    assert not rows.rates
    assert len(rows.apis._numbers) == len(rows.whys._numbers) == 1
    assert rows.slots.free == len(rows.slots)


def test_block_on_one_user_and_api_touches_nobody_and_nothing_else() -> None:
    table = table_of(block(api=Api(route="transfer", method="POST")))
    assert table.check(Facts(user="u"), API, T0) is not None
    assert table.check(Facts(user="v"), API, T0) is None
    assert table.check(Facts(user="u"), API._replace(method="GET"), T0) is None
    assert table.check(Facts(), API, T0) is None


def test_block_on_get_covers_head_too_and_a_block_on_head_only_head() -> None:
    reading = table_of(block(api=Api(method="GET")))
    assert reading.check(Facts(user="u"), API._replace(method="HEAD"), T0) is not None
    assert reading.check(Facts(user="u"), API._replace(method="POST"), T0) is None
    asking = table_of(block(api=Api(method="HEAD")))
    assert asking.check(Facts(user="u"), API._replace(method="HEAD"), T0) is not None
    assert asking.check(Facts(user="u"), API._replace(method="GET"), T0) is None


def test_block_ends_exactly_at_its_expiry_without_a_sweep() -> None:
    table = table_of(block(exp_ms=T0 + 1000))
    assert table.check(Facts(user="u"), API, T0 + 999) is not None
    assert table.check(Facts(user="u"), API, T0 + 1000) is None
    assert len(table) == 1


def test_allow_beats_a_block_but_not_a_hard_one() -> None:
    allow = block(2, action=Action.ALLOW)
    assert table_of(block(1), allow).check(Facts(user="u"), API, T0) is None
    verdict = table_of(block(1, hard=True), allow).check(Facts(user="u"), API, T0)
    assert verdict is not None
    assert verdict.hard


def test_strongest_action_wins_then_the_latest_expiry() -> None:
    table = table_of(
        block(1, exp_ms=T0 + 9000),
        block(2, exp_ms=T0 + 8000),
        block(3, action=Action.CHALLENGE, exp_ms=T0 + 99_000),
        block(4, action=Action.THROTTLE, exp_ms=T0 + 99_000, rate=Rate(1, 1)),
    )
    verdict = table.check(Facts(user="u"), API, T0)
    assert verdict is not None
    assert (verdict.action, verdict.expires_ms, verdict.seq) == (Action.BLOCK, T0 + 9000, 1)
    assert verdict.retry_after_s(T0) == 9
    verdict = table.check(Facts(user="u"), API, T0 + 9500)
    assert verdict is not None
    assert verdict.action is Action.CHALLENGE


def test_observed_policy_is_reported_and_does_not_stop_the_block() -> None:
    table = table_of(block(1), block(2, action=Action.OBSERVE), block(3, shadow=True))
    observed: list[Verdict] = []
    verdict = table.check(Facts(user="u"), API, T0, observed=observed)
    assert verdict is not None
    assert verdict.pid == pid(1)
    assert sorted(note.pid for note in observed) == [pid(2), pid(3)]


def test_early_check_withholds_a_soft_block_while_an_exception_for_some_identity_could_apply() -> None:
    net = block(1, subject=Subject(ip=parse_network("203.0.113.0/24")))
    exception = block(2, action=Action.ALLOW, subject=Subject(user="vip"), api=Api(route="transfer"))
    table = table_of(net, exception)
    assert table.check_early(IP, API, T0) is None
    assert table.check_early(IP, API._replace(route="other"), T0) is not None
    assert table.check(Facts(user="vip", ip=IP), API, T0) is None
    assert table.check(Facts(user="else", ip=IP), API, T0) is not None
    assert table_of(dataclasses.replace(net, hard=True), exception).check_early(IP, API, T0) is not None


def test_policy_for_the_untrusted_passes_an_established_caller_by_and_waits_for_identity() -> None:
    table = table_of(block(subject=Subject(ip=parse_network("203.0.113.7"), untrusted=True)))
    assert table.check_early(IP, API, T0) is None
    assert table.check(Facts(ip=IP), API, T0) is not None
    assert table.check(Facts(ip=IP, user="u", trusted=True), API, T0) is None


def test_machine_policy_cannot_refuse_an_exempt_network_but_may_refuse_a_user_there() -> None:
    office = address_key("10.1.2.3")
    table = table_of(
        block(1, machine=True, subject=Subject(client="ja4")),
        block(2, machine=True, subject=Subject(user="u")),
        block(3, subject=Subject(client="person")),
        exempt=("10.0.0.0/8",),
    )
    assert table.check(Facts(client="ja4", ip=office), API, T0) is None
    assert table.check(Facts(client="ja4", ip=IP), API, T0) is not None
    assert table.check(Facts(user="u", ip=office), API, T0) is not None
    assert table.check(Facts(client="person", ip=office), API, T0) is not None


def test_generous_throttle_does_not_hide_a_strict_one() -> None:
    table = table_of(
        block(1, action=Action.THROTTLE, rate=Rate(1000, 1), exp_ms=T0 + 90_000),
        block(2, action=Action.THROTTLE, rate=Rate(1, 60)),
        block(3, action=Action.THROTTLE, rate=Rate(5, 60), subject=Subject(ip=parse_network("203.0.113.0/24"))),
    )
    verdict = table.check(Facts(user="u", ip=IP), API, T0)
    assert verdict is not None
    assert verdict.pid == pid(1)
    assert {(other.pid, other.rate) for other in verdict.also} == {(pid(2), Rate(1, 60)), (pid(3), Rate(5, 60))}


def test_throttle_counts_a_named_subject_once_and_a_crowd_per_caller() -> None:
    rate = Rate(10, 60)
    named = table_of(block(action=Action.THROTTLE, rate=rate)).check(Facts(user="u", ip=IP), API, T0)
    assert named is not None
    assert (named.rate, named.bucket) == (rate, pid(1))
    crowd = table_of(block(action=Action.THROTTLE, rate=rate, subject=Subject()))
    buckets = {
        verdict.bucket
        for who in (
            Facts(user="x", ip=IP),
            Facts(user="x"),
            Facts(device="x"),
            Facts(ip=IP),
            Facts(ip=address_key("2001:db8::1")),
            Facts(ip=address_key("2001:db8::2")),
        )
        if (verdict := crowd.check(who, API, T0))
    }
    assert len(buckets) == 4


def test_marked_pass_drops_exactly_what_was_not_seen_again_even_after_an_aborted_pass() -> None:
    table = table_of(block(1), block(2), block(3))
    table.start_marking()
    table.apply(Put(block(1), seq=0))
    table.start_marking()
    table.apply(Put(block(2), seq=0))
    gone = [dropped for step in table.drop_unmarked(step=2) for dropped in step]
    assert sorted(gone) == [pid(1), pid(3)]
    assert len(table) == 1


def test_sweep_frees_only_expired_policies_and_looks_at_no_more_than_its_limit() -> None:
    table = table_of(*(block(n, exp_ms=T0 + (1000 if n % 2 else 9000)) for n in range(1, 11)))
    assert table.sweep(before_ms=T0 + 5000, limit=4) == 2
    assert table.sweep(before_ms=T0 + 5000, limit=6) == 3
    assert len(table) == 5
    assert table.sweep(before_ms=T0 + 5000, limit=100) == 0


def test_older_version_neither_replaces_nor_deletes_a_newer_one() -> None:
    table = table_of(block(1, ver=3))
    assert not table.apply(Put(block(1, ver=2, subject=Subject(user="v")), seq=2))
    assert not table.apply(Delete(pid(1), ver=2, seq=3))
    assert table.check(Facts(user="u"), API, T0) is not None
    assert table.apply(Put(block(1, ver=4, subject=Subject(user="v")), seq=4))
    assert table.check(Facts(user="u"), API, T0) is None
