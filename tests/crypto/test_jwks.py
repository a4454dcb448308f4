"""Key sets: what is read, what refuses a set, and what the cache says to do at which moment."""

import json
from contextlib import suppress

import pytest
from haetae_crypto.errors import KeyFormatInvalid
from haetae_crypto.jwk import ed25519_private_from_seed
from haetae_crypto.jwks import (
    MAX_JWKS_BYTES,
    MAX_JWKS_KEYS,
    FetchKeys,
    JwkSet,
    JwksState,
    JwksTimes,
    NoKeys,
    RefuseKid,
    UseKeys,
    check_jwks_url,
    parse_jwks,
    read_jwks_answer,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

P256 = {
    "kty": "EC",
    "crv": "P-256",
    "kid": "ec",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}


def ed(kid: str, seed: int = 1) -> dict[str, str]:
    return ed25519_private_from_seed(bytes([seed]) * 32, kid=kid).public.to_dict()


def document(*keys: object) -> bytes:
    return json.dumps({"keys": keys}).encode()


def key_set(*kids: str) -> JwkSet:
    return parse_jwks(document(*(ed(kid, seed) for seed, kid in enumerate(kids, 1))))


def test_key_is_found_by_id_only_for_an_algorithm_of_its_kind() -> None:
    keys = parse_jwks(document(ed("a"), P256))
    assert keys.find("a", "EdDSA") is keys.keys[0]
    assert keys.find("ec", "ES256") is keys.keys[1]
    assert keys.find("a", "ES256") is None
    assert keys.find("ec", "HS256") is None
    assert keys.find("nobody", "EdDSA") is None


def test_key_bound_to_one_algorithm_is_not_used_for_another_of_its_kind() -> None:
    keys = parse_jwks(document(ed("a")))  # alg EdDSA
    assert keys.find("a", "Ed25519") is None


def test_token_without_key_id_gets_the_only_fitting_key_and_none_of_two() -> None:
    assert parse_jwks(document(ed("a"), P256)).find(None, "EdDSA") is not None
    assert parse_jwks(document(ed("a"), ed("b", 2))).find(None, "EdDSA") is None


def test_keys_we_cannot_verify_with_are_skipped() -> None:
    strange = [
        {"kty": "OKP", "crv": "Ed448", "kid": "1", "x": "AA"},
        {"kty": "OKP", "crv": "X25519", "kid": "2", "x": "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08"},
        {"kty": "EC", "crv": "P-384", "kid": "3", "x": "AA", "y": "AA"},
        {"kty": "AKP", "kid": "4"},
        {**P256, "kid": "5", "use": "enc"},
    ]
    assert parse_jwks(document(*strange, ed("good"))).keys[0].kid == "good"
    with pytest.raises(KeyFormatInvalid):
        parse_jwks(document(*strange))


@pytest.mark.parametrize(
    "data",
    [
        document(),
        document(ed("a"), ed("a", 2)),
        document(ed("a"), {**P256, "kid": "a", "use": "enc"}),
        document(ed("a"), {**P256, "d": "AA"}),
        document(ed("a"), {"kty": "oct", "k": "AA"}),
        document(ed("a"), "key"),
        document(*(ed(str(n), n + 1) for n in range(MAX_JWKS_KEYS + 1))),
        json.dumps({"keys": ed("a")}).encode(),
        json.dumps([ed("a")]).encode(),
        b'{"keys":[],"keys":[%s]}' % json.dumps(ed("a")).encode(),
        document(ed("a")).decode().encode("utf-16"),
        b"\xef\xbb\xbf" + document(ed("a")),
        document(ed("a")) + b" " * MAX_JWKS_BYTES,
        b"[" * 100_000,
        b"",
    ],
    ids=[
        "empty", "twice", "twice-though-one-is-unusable", "private", "symmetric", "not-an-object", "too-many",
        "not-a-list", "bare-list", "member-twice", "utf-16", "bom", "too-long", "deep", "nothing",
    ],
)  # fmt: skip
def test_bad_key_set_is_refused_whole(data: bytes) -> None:
    with pytest.raises(KeyFormatInvalid):
        parse_jwks(data)


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_key_set_or_the_declared_error(data: bytes) -> None:
    with suppress(KeyFormatInvalid):
        parse_jwks(data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "use", "alg", "d"]), children)
    ),
    max_leaves=12,
)


@given(st.lists(_JSON | st.just(ed("a")) | st.just(P256), max_size=4))
def test_any_list_of_keys_is_a_key_set_or_the_declared_error(keys: list[object]) -> None:
    try:
        found = parse_jwks(json.dumps({"keys": keys}).encode())
    except KeyFormatInvalid:
        return
    written = [key.get("kid") for key in keys if isinstance(key, dict)]
    assert {key.kid for key in found.keys} <= {None, *(kid for kid in written if isinstance(kid, str))}


def test_sets_are_equal_when_their_keys_are_whatever_the_order() -> None:
    first, second = parse_jwks(document(ed("a"), P256)), parse_jwks(document(P256, ed("a")))
    assert first == second
    assert hash(first) == hash(second)
    assert first != parse_jwks(document(ed("a", 2), P256))


@pytest.mark.parametrize(
    ("status", "content_type", "coding"),
    [(302, "application/json", ""), (404, "application/json", ""), (200, "text/html", ""),
     (200, "", ""), (200, "application/json", "gzip")],
)  # fmt: skip
def test_answer_that_is_no_plain_json_success_is_refused(status: int, content_type: str, coding: str) -> None:
    with pytest.raises(KeyFormatInvalid):
        read_jwks_answer(status=status, content_type=content_type, content_encoding=coding, body=document(ed("a")))


def test_answer_of_either_json_type_is_read() -> None:
    for content_type in ("application/json; charset=utf-8", "Application/JWK-Set+JSON"):
        read_jwks_answer(status=200, content_type=content_type, content_encoding="identity", body=document(ed("a")))


@pytest.mark.parametrize(
    "url",
    ["http://issuer.example/jwks", "ftp://issuer.example/", "https://", "https:///jwks", "file:///etc/passwd",
     "https://user@issuer.example/", "https://issuer.example/#x", "https://issuer.example/a b",
     "https://issuer.example:99999/", "https://[::1/", "http://localhost.evil.example/", "jwks", "",
     "http://127.0.0.1.evil.example/", "https://issuer.example/\n"],
)  # fmt: skip
def test_address_that_is_not_plain_https_is_refused_even_when_loopback_is_allowed(url: str) -> None:
    with pytest.raises(KeyFormatInvalid):
        check_jwks_url(url, loopback_http=True)


def test_http_is_for_loopback_and_only_when_asked_for() -> None:
    for url in ("http://127.0.0.1:8080/jwks", "http://[::1]:1/", "http://localhost/"):
        assert check_jwks_url(url, loopback_http=True) == url
        with pytest.raises(KeyFormatInvalid):
            check_jwks_url(url)
    assert check_jwks_url("https://issuer.example:8443/jwks?x=1")


TIMES = JwksTimes(fresh=100, stale=50, keep=1000, unknown_cooldown=30, retry_first=1, retry_most=8)


def loaded(*kids: str, at: float = 0) -> JwksState:
    state = JwksState(TIMES)
    state.fetch_started(now=at)
    state.fetch_succeeded(key_set(*kids), now=at)
    return state


def test_cold_cache_fetches_once_while_others_wait() -> None:
    state = JwksState(TIMES)
    assert state.next_step(kid="a", now=0) == FetchKeys(running=False)
    state.fetch_started(kid="a", now=0)
    assert state.next_step(kid="a", now=0) == FetchKeys(running=True)
    with pytest.raises(RuntimeError):
        state.fetch_started(now=0)
    state.fetch_succeeded(key_set("a"), now=1)
    assert state.next_step(kid="a", now=1) == UseKeys(key_set("a"), refresh=False)


def test_cold_cache_whose_issuer_is_away_refuses_and_backs_off() -> None:
    state, now, waits = JwksState(TIMES), 0.0, []
    for _ in range(6):
        state.fetch_started(now=now)
        state.fetch_failed(now=now)
        step = state.next_step(kid="a", now=now)
        assert isinstance(step, NoKeys)
        waits.append(step.retry_after)
        now += step.retry_after
        assert state.next_step(kid="a", now=now) == FetchKeys(running=False)
    assert waits == [1, 2, 4, 8, 8, 8]


def test_stale_keys_are_used_while_one_fetch_runs_behind() -> None:
    state = loaded("a")
    assert state.next_step(kid="a", now=99) == UseKeys(key_set("a"), refresh=False)
    assert state.next_step(kid="a", now=101) == UseKeys(key_set("a"), refresh=True)
    state.fetch_started(now=101)
    assert state.next_step(kid="a", now=102) == UseKeys(key_set("a"), refresh=False)
    state.fetch_failed(now=103)
    assert state.next_step(kid="a", now=103.5) == UseKeys(key_set("a"), refresh=False)
    assert state.next_step(kid="a", now=104) == UseKeys(key_set("a"), refresh=True)


def test_old_keys_are_used_only_after_a_fetch_failed_and_not_beyond_their_end() -> None:
    state = loaded("a")
    assert state.next_step(kid="a", now=500) == FetchKeys(running=False)
    state.fetch_started(now=500)
    assert state.next_step(kid="a", now=500) == FetchKeys(running=True)
    state.fetch_failed(now=500)
    assert state.next_step(kid="a", now=500.5) == UseKeys(key_set("a"), refresh=False)
    assert state.usable(now=999.9) is not None
    assert state.usable(now=1000) is None
    assert state.next_step(kid="a", now=1000) == FetchKeys(running=False)
    state.fetch_started(now=1000)
    state.fetch_failed(now=1000)
    assert isinstance(state.next_step(kid="a", now=1000), NoKeys)


def test_unknown_key_id_buys_one_fetch_per_cooldown() -> None:
    state = loaded("a")
    assert state.next_step(kid="b", now=10) == FetchKeys(running=False)
    state.fetch_started(kid="b", now=10)
    assert state.next_step(kid="c", now=10) == FetchKeys(running=True)
    state.fetch_succeeded(key_set("a"), now=10)
    assert state.next_step(kid="b", now=10) == RefuseKid(30)
    assert state.next_step(kid="made-up", now=39) == RefuseKid(1)
    assert state.next_step(kid="a", now=39) == UseKeys(key_set("a"), refresh=False)
    assert state.next_step(kid="b", now=40) == FetchKeys(running=False)


def test_rotated_key_is_found_by_the_fetch_its_id_causes() -> None:
    state = loaded("a")
    state.fetch_started(kid="b", now=10)
    state.fetch_succeeded(key_set("a", "b"), now=10)
    assert state.next_step(kid="b", now=10) == UseKeys(key_set("a", "b"), refresh=False)


def test_unchanged_set_keeps_its_identity_and_a_changed_one_does_not() -> None:
    state = loaded("a")
    before = state.last_good
    state.fetch_started(now=100)
    state.fetch_succeeded(key_set("a"), now=100)
    assert state.last_good is before
    state.fetch_started(now=200)
    state.fetch_succeeded(key_set("b"), now=200)
    assert state.last_good is not before


def test_times_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError):
        JwksTimes(fresh=0)
    with pytest.raises(ValueError):
        JwksTimes(fresh=10, stale=10, keep=5)


# The state compares `now` with sums like `start + cooldown`. In 1/1024 s those sums are exact, so the bounds below are
# too: with arbitrary floats `(start + 30) - now` may exceed 30 by a rounding, which says nothing about the cache.
# The listed steps meet the moments at which something ends.
TICKS = st.sampled_from([0.0, 1.0, 2.0, 8.0, 30.0, 50.0, 100.0, 850.0]) | st.integers(0, 400 * 1024).map(
    lambda ticks: ticks / 1024
)


class CacheMachine(RuleBasedStateMachine):
    """Whatever happens in whatever order: one fetch at a time, cooldowns hold, good keys are never lost
    early.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = JwksState(TIMES)
        self.now = 0.0
        self.running = False
        self.good: JwkSet | None = None
        self.good_at = 0.0
        self.unknown_fetches: list[float] = []

    @rule(seconds=TICKS)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(kid=st.sampled_from(["a", "b", "x"]))
    def request_comes(self, kid: str) -> None:
        step = self.state.next_step(kid=kid, now=self.now)
        if isinstance(step, UseKeys):
            assert step.keys is self.good
            assert step.keys.knows(kid)
            assert self.now - self.good_at < TIMES.keep
        starts = step == FetchKeys(running=False) or (isinstance(step, UseKeys) and step.refresh)
        if isinstance(step, RefuseKid | NoKeys):
            assert 0 < step.retry_after <= max(TIMES.unknown_cooldown, TIMES.retry_most)
        if starts:
            assert not self.running
            usable = self.good is not None and self.now - self.good_at < TIMES.keep
            if usable and self.good is not None and not self.good.knows(kid):
                if self.unknown_fetches:
                    assert self.now - self.unknown_fetches[-1] >= TIMES.unknown_cooldown
                self.unknown_fetches.append(self.now)
            self.state.fetch_started(kid=kid, now=self.now)
            self.running = True

    @precondition(lambda self: self.running)
    @rule(kids=st.sampled_from([("a",), ("a", "b"), ("b",)]))
    def good_answer(self, kids: tuple[str, ...]) -> None:
        self.state.fetch_succeeded(key_set(*kids), now=self.now)
        self.running, self.good, self.good_at = False, self.state.last_good, self.now

    @precondition(lambda self: self.running)
    @rule()
    def bad_answer(self) -> None:
        self.state.fetch_failed(now=self.now)
        self.running = False

    @invariant()
    def good_keys_stay(self) -> None:
        assert self.state.last_good is self.good


TestCacheMachine = CacheMachine.TestCase
