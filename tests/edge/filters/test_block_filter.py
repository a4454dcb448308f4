"""`Block` against the real table and real buckets: throttles add up, and one request takes one token of each."""

from typing import Any

import pytest
from haetae_crypto.app_channel import DeviceKey
from haetae_crypto.jwk import ed25519_private_from_seed
from haetae_edge.config.values import ArgumentError
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange
from haetae_edge.filter import BuildContext, Phase, Steps
from haetae_edge.filters.block import Block
from haetae_edge.services import DeviceRecord, Services
from haetae_policy import Action, Api, Rate, Record, Subject

from tests.edge.gateway_files import exchange
from tests.simulator.policies import MemoryPolicies


def throttle(number: int, rate: Rate, subject: Subject) -> Record:
    return Record(pid=number, ver=1, exp_ms=60_000, action=Action.THROTTLE, subject=subject, api=Api(), rate=rate)


def steps(policies: MemoryPolicies, filter_: Block | None = None) -> Steps:
    services = Services(clock=lambda: 1.0, random_bytes=bytes, policies=policies)
    return (filter_ or Block()).build(
        BuildContext(gateway="test", route_id="r", upstream="upstream", services=services)
    )


def ask(block: Steps) -> Exchange:
    """One request of user u, through both looks."""
    made = exchange("/x")
    (_, early), (_, late) = block.request
    early(made)
    made.caller.user = "u"
    late(made)
    return made


def allowed(block: Steps, most: int = 50) -> int:
    """How many requests pass before the first is throttled."""
    for count in range(most):
        try:
            ask(block)
        except Refusal as refusal:
            return count if refusal.problem == "throttled" else -1
    return most


def test_worker_that_never_knew_the_policies_refuses_unless_the_route_says_otherwise() -> None:
    policies = MemoryPolicies(loaded=False)
    with pytest.raises(Refusal) as caught:
        ask(steps(policies))
    assert caught.value.problem == "policies-unavailable"
    ask(steps(policies, Block(on_not_loaded="allow")))
    policies.loaded = True
    ask(steps(policies))


def test_throttle_on_an_address_takes_one_token_of_a_request_that_both_looks_see() -> None:
    assert allowed(steps(MemoryPolicies(throttle(1, Rate(4, 60), Subject())))) == 4


def test_two_throttles_that_the_early_look_sees_take_one_token_each_per_request() -> None:
    both = MemoryPolicies(throttle(1, Rate(6, 60), Subject()), throttle(2, Rate(4, 60), Subject()))
    assert allowed(steps(both)) == 4


@pytest.mark.parametrize("strict", [1, 2])
def test_generous_throttle_does_not_lift_a_strict_one_whichever_was_made_first(strict: int) -> None:
    policies = MemoryPolicies(
        throttle(strict, Rate(3, 60), Subject(user="u")), throttle(3 - strict, Rate(1000, 1), Subject(user="u"))
    )
    assert allowed(steps(policies)) == 3


def test_early_throttle_and_a_late_one_both_count() -> None:
    everyone, user = throttle(1, Rate(5, 60), Subject()), throttle(2, Rate(2, 60), Subject(user="u"))
    block = steps(MemoryPolicies(everyone, user))
    assert allowed(block) == 2
    with pytest.raises(Refusal):
        ask(block)


@pytest.mark.parametrize(("age", "refused"), [(60, True), (90_000, False), (None, False)])
def test_a_device_that_was_enrolled_just_now_is_a_strangers_whoever_signs_in_on_it(
    age: int | None, refused: bool
) -> None:
    now = 1_800_000_000.0
    record = Record(
        pid=1, ver=1, exp_ms=int(now * 1000) + 60_000, action=Action.BLOCK, subject=Subject(untrusted=True), api=Api()
    )
    services = Services(clock=lambda: now, random_bytes=bytes, policies=MemoryPolicies(record))
    (_, _), (_, late) = (
        Block().build(BuildContext(gateway="test", route_id="r", upstream="upstream", services=services)).request
    )
    device: dict[str, object] = {"id": "d-1"} if age is None else {"id": "d-1", "enrolled": int(now) - age}
    key = DeviceKey.from_jwk("dev_1", "ed25519", ed25519_private_from_seed(bytes(32)).public.members)
    made = exchange("/x")
    made.caller.device, made.caller.user = "d-1", "u"
    made.caller.device_record = DeviceRecord(key=key, user_id="u", device=device)
    if refused:
        with pytest.raises(Refusal, match="blocked"):
            late(made)
    else:
        late(made)


def with_certificate_and_token(block: Steps) -> Exchange:
    """One request of a service that shows an OAuth client's token, too."""
    made = exchange("/x")
    made.caller.service, made.caller.client = "spiffe://td/a", "partner-1"
    made.caller.client_id = "partner-1"
    block.request[1][1](made)
    return made


@pytest.mark.parametrize("name", ["spiffe://td/a", "partner-1"])
def test_client_blocked_by_either_of_its_names_is_not_let_in_by_the_other(name: str) -> None:
    policies = MemoryPolicies()
    block = steps(policies)
    made = with_certificate_and_token(block)
    assert made.still_allowed is not None
    assert made.still_allowed(made)
    subject = Subject(client=name)
    policies.put(Record(pid=1, ver=1, exp_ms=60_000, action=Action.BLOCK, subject=subject, api=Api()))
    with pytest.raises(Refusal) as caught:
        with_certificate_and_token(block)
    assert caught.value.problem == "blocked"
    assert not made.still_allowed(made)


def test_throttles_on_both_names_of_a_client_count() -> None:
    strict = throttle(1, Rate(1, 60), Subject(client="spiffe://td/a"))
    generous = throttle(2, Rate(50, 60), Subject(client="partner-1"))
    block = steps(MemoryPolicies(strict, generous))
    with_certificate_and_token(block)
    with pytest.raises(Refusal) as caught:
        with_certificate_and_token(block)
    assert caught.value.problem == "throttled"


NOW = 1_700_000_000


def challenge(block: Block, claims: dict[str, Any] | None) -> tuple[str, Exchange, dict[bytes, bytes]]:
    """What a challenge of that moment answers to a token with these claims, 30 seconds later."""
    record = Record(
        pid=NOW * 1000 << 80,
        ver=1,
        exp_ms=(NOW + 600) * 1000,
        action=Action.CHALLENGE,
        subject=Subject(user="u"),
        api=Api(),
    )
    services = Services(clock=lambda: NOW + 30.0, random_bytes=bytes, policies=MemoryPolicies(record))
    built = block.build(BuildContext(gateway="test", route_id="r", upstream="upstream", services=services))
    made = exchange("/x")
    made.caller.user, made.caller.claims = "u", claims
    try:
        dict(built.request)[Phase.LATE_BLOCK](made)
    except Refusal as refusal:
        return refusal.problem, made, dict(refusal.headers)
    return "passed", made, {}


@pytest.mark.parametrize(
    ("claims", "outcome"),
    [
        ({"acr": "mfa", "auth_time": NOW}, "passed"),
        ({"acr": "mfa", "auth_time": NOW - 1}, "challenge"),
        ({"acr": "pwd", "auth_time": NOW + 5}, "challenge"),
        ({"acr": ["mfa"], "auth_time": NOW + 5}, "challenge"),
        ({"acr": "mfa", "auth_time": True}, "challenge"),
        ({"acr": "mfa", "auth_time": "1700000005"}, "challenge"),
        ({"acr": "mfa"}, "challenge"),
        (None, "challenge"),
    ],
)
def test_challenge_is_passed_by_a_stronger_sign_in_after_it_was_made(
    claims: dict[str, Any] | None, outcome: str
) -> None:
    answered, made, headers = challenge(Block(step_up=("mfa", "hwk")), claims)
    assert answered == outcome
    assert made.facts.policy_action == "challenge"
    if outcome == "challenge":
        asked = b'Bearer error="insufficient_user_authentication", acr_values="mfa hwk", max_age="30"'
        assert headers == {b"www-authenticate": asked}
    else:
        assert made.still_allowed is not None
        assert made.still_allowed(made)


def test_challenge_lasts_where_no_sign_in_is_named_that_passes_it() -> None:
    answered, _, headers = challenge(Block(), {"acr": "mfa", "auth_time": NOW + 5})
    assert answered == "challenge"
    assert headers == {b"www-authenticate": b'Bearer error="insufficient_user_authentication"'}


@pytest.mark.parametrize("acr", ['a"b', "a b", "", "é"])
def test_acr_that_cannot_stand_in_a_header_is_refused_with_the_configuration(acr: str) -> None:
    with pytest.raises(ArgumentError):
        Block(step_up=(acr,))
