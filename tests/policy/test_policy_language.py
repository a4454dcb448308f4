"""The policy language: what is taken, what is refused and how it is named; rates, references."""

import contextlib
from typing import Any

import pytest
from haetae_policy.errors import PolicyInvalid, ReferenceInvalid
from haetae_policy.identifiers import format_policy_id, make_policy_id, parse_policy_id
from haetae_policy.model import Rate, Source, SourceKind
from haetae_policy.network import parse_network
from haetae_policy.parse import parse_new_policy, parse_policy, read_policy
from haetae_policy.protected import Protected
from haetae_policy.reference import ReferenceMaker
from haetae_policy.rules import Rules
from haetae_policy.throttle import TokenBuckets
from hypothesis import given
from hypothesis import strategies as st

from tests.policy.policy_strategies import T0, document, policy_id

NOW = 1_777_629_600_000
FDS = {"kind": "fds", "name": "r3"}


def problems(**changes: Any) -> dict[str, str]:
    with pytest.raises(PolicyInvalid) as caught:
        parse_policy(document(**changes))
    return {problem.field: problem.message for problem in caught.value.problems}


def test_policy_comes_back_unchanged_from_its_canonical_form() -> None:
    full = document(
        subject={"session": "s", "device": "d", "user": "김", "account": "a", "client": "c", "ip": "203.0.113.0/24"},
        action="throttle",
        rate={"limit": 5, "per_seconds": 60},
        mode="shadow",
        evidence={"b": [1, 2.5, None], "a": {"x": True}},
        why="r3",
        approved_by="lee",
    )
    made = parse_policy(full)
    assert parse_policy(made.to_dict()) == read_policy(made.to_dict()) == made
    assert made.to_dict()["subject"] == full["subject"]
    assert made.to_json() == parse_policy(dict(reversed(list(full.items())))).to_json()


def test_null_is_the_same_as_absent_in_subject_and_api() -> None:
    nulls = parse_policy(document(subject={"user": "u", "device": None, "ip": None}, api={"gateway": None}))
    assert nulls == parse_policy(document(subject={"user": "u"}, api={}))


def test_every_problem_is_reported_at_once_with_its_field() -> None:
    found = problems(
        extra=1,
        subject={"usr": "x", "user": "a\u202eb", "ip": "10.0.0.5/24", "untrusted": 1},
        api={"method": "post", "path": "a", "route": "x y", "paths": 1},
        action="ban",
        hard="yes",
        reason=" ",
        why="No!",
        evidence=[],
        source={"kind": "bot", "name": ""},
        expires="2026-05-02 10:00:00",
        version=0,
        id="pol_1",
    )
    assert set(found) == {
        *("extra", "subject.usr", "subject.user", "subject.ip", "subject.untrusted", "api.method", "api.path"),
        *("api.route", "api.paths", "action", "hard", "reason", "why", "evidence", "source.kind", "source.name"),
        *("expires", "version", "id"),
    }
    assert "10.0.0.0/24" in found["subject.ip"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"expires": None}, "expires"),
        ({"expires": "2026-06-01T10:00:00Z"}, "expires"),
        ({"expires": "2026-05-01T10:00:00Z"}, "expires"),
        ({"expires": "2026-02-31T10:00:00Z"}, "expires"),
        ({"expires": "2026-05-02T10:00:00+00:00"}, "expires"),
        ({"expires": "2026-05-02T10:00:00.5Z"}, "expires"),
        ({"changed": "2026-04-30T10:00:00Z"}, "expires"),
        ({"reason": None}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"source": None}, "source"),
        ({"action": "challenge", "hard": True}, "hard"),
        ({"action": "throttle"}, "rate"),
        ({"rate": {"limit": 1, "per_seconds": 1}}, "rate"),
        ({"action": "throttle", "rate": {"limit": 0, "per_seconds": 1}}, "rate.limit"),
        ({"action": "throttle", "rate": {"limit": True, "per_seconds": 1}}, "rate.limit"),
        ({"subject": None}, "approved_by"),
        ({"subject": {"untrusted": True}}, "approved_by"),
        ({"subject": {"ip": "16.0.0.0/8"}}, "approved_by"),
        ({"subject": {"ip": "::/0"}}, "approved_by"),
        ({"subject": None, "approved_by": "kim"}, "approved_by"),
        ({"subject": []}, "subject"),
        ({"subject": {"ip": 7}}, "subject.ip"),
        ({"subject": {"user": "x" * 257}}, "subject.user"),
        ({"subject": {"user": ""}}, "subject.user"),
        ({"subject": {"user": "\ud800"}}, "subject.user"),
        ({"evidence": {"x": "y" * 9000}}, "evidence"),
        ({"evidence": {"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}}, "evidence"),
        ({"evidence": {"a": list(range(501))}}, "evidence"),
        ({"evidence": {"a": 1 << 80}}, "evidence"),
    ],
)
def test_single_fault_is_named_and_alone(changes: dict[str, Any], field: str) -> None:
    assert set(problems(**changes)) == {field}


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "10.1.0.0/16",
        "172.16.0.0/12",
        "192.168.1.0/24",
        "169.254.1.1",
        "100.64.1.1",
        "::1",
        "fd12::/16",
        "fe80::1",
        "172.0.0.0/8",
        "0.0.0.0/0",
        "fc00::/6",
        "::ffff:10.0.0.1",
    ],
)
def test_machine_cannot_name_a_protected_network_nor_one_that_holds_it(text: str) -> None:
    assert "subject.ip" in problems(subject={"ip": text, "user": "u"}, source=FDS)
    parse_policy(document(subject={"ip": text, "user": "u"}))


def test_machine_cannot_name_what_the_installation_protects() -> None:
    rules = Rules(protected=Protected(networks=(parse_network("203.0.113.16/28"),)))
    for text, fits in (("203.0.113.0/24", False), ("203.0.113.17", False), ("203.0.113.32/28", True)):
        made = document(subject={"ip": text}, source=FDS)
        with contextlib.nullcontext() if fits else pytest.raises(PolicyInvalid, match=r"203\.0\.113\.16/28"):
            parse_policy(made, rules=rules)


def test_new_policy_gets_its_identity_and_times_from_the_service() -> None:
    asked = {"subject": {"user": "u"}, "action": "block", "reason": "r", "expires": "2026-05-01T11:00:00Z"}
    source = Source(SourceKind.ANALYST, "kim")
    made = parse_new_policy(asked, policy_id=policy_id(1), source=source, now_ms=NOW + 999)
    assert (made.id, made.source, made.created_ms, made.version, made.why) == (policy_id(1), source, NOW, 1, "manual")
    for name in ("id", "source", "created", "changed", "version"):
        with pytest.raises(PolicyInvalid, match=f"{name}: is set by the service"):
            parse_new_policy({**asked, name: "x"}, policy_id=policy_id(1), source=source, now_ms=NOW)
    with pytest.raises(PolicyInvalid, match="expires"):
        parse_new_policy(asked, policy_id=policy_id(1), source=source, now_ms=NOW + 3_600_000)
    with pytest.raises(PolicyInvalid):
        parse_new_policy([], policy_id=policy_id(1), source=source, now_ms=NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    (
        "id",
        "subject",
        "api",
        "action",
        "mode",
        "hard",
        "rate",
        "reason",
        "why",
        "evidence",
        "source",
        "created",
        "changed",
        "expires",
        "version",
        "ticket",
        "approved_by",
        "user",
        "ip",
        "path",
        "kind",
        "limit",
        "x",
    )
)


@given(st.dictionaries(names, json_values | st.dictionaries(names, json_values, max_size=3), max_size=6))
def test_parsing_any_altered_document_gives_a_policy_or_named_problems(changes: dict[str, Any]) -> None:
    try:
        made = parse_policy({**document(), **changes})
    except PolicyInvalid:
        return
    assert parse_policy(made.to_dict()) == made


@given(json_values)
def test_parsing_anything_else_gives_named_problems(value: Any) -> None:
    with pytest.raises(PolicyInvalid):
        parse_policy(value)


@given(now_ms=st.integers(0, (1 << 48) - 1), randomness=st.binary(min_size=10, max_size=10))
def test_identifier_is_its_number_and_sorts_by_time(now_ms: int, randomness: bytes) -> None:
    text = make_policy_id(now_ms=now_ms, randomness=randomness)
    assert parse_policy_id(text) == now_ms << 80 | int.from_bytes(randomness)
    assert format_policy_id(parse_policy_id(text)) == text
    if now_ms:
        assert make_policy_id(now_ms=now_ms - 1, randomness=b"\xff" * 10) < text


@pytest.mark.parametrize(
    "text", ["", "pol_", policy_id(1).lower(), policy_id(1) + "0", "pol_8" + "0" * 25, "pol_" + "I" * 26]
)
def test_identifier_has_one_spelling(text: str) -> None:
    with pytest.raises(PolicyInvalid):
        parse_policy_id(text)


def test_bucket_lets_the_limit_through_at_once_and_then_at_the_rate() -> None:
    buckets, rate = TokenBuckets(), Rate(3, 60)
    assert [buckets.take("s", rate, T0) for _ in range(4)] == [0, 0, 0, 20_000]
    assert buckets.take("s", rate, T0 + 19_999) > 0
    assert buckets.take("s", rate, T0 + 20_000) == 0
    assert buckets.take("other", rate, T0) == 0
    assert buckets.take("s", rate, T0 - 99_000_000) > 0, "a clock that goes back refills nothing"


@given(
    times=st.lists(st.integers(0, 30_000), min_size=1, max_size=80).map(sorted),
    rate=st.builds(Rate, st.integers(1, 5), st.integers(1, 20)),
)
def test_bucket_never_lets_more_through_than_its_rate_and_its_wait_is_true(times: list[int], rate: Rate) -> None:
    buckets = TokenBuckets()
    passed = [moment for moment in times if buckets.take("s", rate, T0 + moment) == 0]
    for start in passed:
        window = [moment for moment in passed if start <= moment < start + rate.per_seconds * 1000]
        assert len(window) <= 2 * rate.limit
    last = T0 + times[-1]
    while (wait := buckets.take("s", rate, last)) == 0:
        continue
    assert buckets.take("s", rate, last + wait) == 0


def test_bucket_map_stays_bounded_and_forgets_the_longest_unseen() -> None:
    buckets, rate = TokenBuckets(capacity=3), Rate(1, 60)
    for subject in ("a", "b", "c", "a", "d"):
        buckets.take(subject, rate, T0)
    assert len(buckets) == 3
    assert buckets.take("a", rate, T0) > 0, "still remembered"
    assert buckets.take("b", rate, T0) == 0, "forgotten"


REFERENCES = ReferenceMaker(key=b"k" * 32)


@given(pid=st.integers(0, (1 << 128) - 1), randomness=st.binary(min_size=8, max_size=16))
def test_reference_reads_back_however_it_is_typed_and_only_with_the_key(pid: int, randomness: bytes) -> None:
    text = REFERENCES.make(pid=pid, now_ms=T0, randomness=randomness)
    assert len(text) == 19
    typed = text.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert REFERENCES.parse(typed) == REFERENCES.parse(text) == text
    with pytest.raises(ReferenceInvalid):
        ReferenceMaker(key=b"j" * 32).parse(text)


@given(position=st.integers(0, 15), step=st.integers(1, 31))
def test_mistyped_reference_is_refused(position: int, step: int) -> None:
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    letters = list(REFERENCES.make(pid=1, now_ms=T0, randomness=b"r" * 8).replace("-", ""))
    letters[position] = alphabet[(alphabet.index(letters[position]) + step) % 32]
    with pytest.raises(ReferenceInvalid):
        REFERENCES.parse("".join(letters))


@given(st.text(max_size=80))
def test_any_other_text_is_no_reference(text: str) -> None:
    with pytest.raises(ReferenceInvalid):
        REFERENCES.parse(text)


def test_reference_key_of_another_length_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="32"):
        ReferenceMaker(key=b"short")
    with pytest.raises(ValueError, match="random"):
        REFERENCES.make(pid=1, now_ms=T0, randomness=b"")
    with pytest.raises(ValueError, match="ULID"):
        make_policy_id(now_ms=-1, randomness=b"0" * 10)
