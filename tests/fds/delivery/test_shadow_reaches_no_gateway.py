"""Decisions in shadow on their way to the gateways: they become policies that refuse nobody, and end none that does."""

import dataclasses

from haetae_fds.decision import Action, Decision, Mode, Op, Subject, policy_id
from haetae_fds.delivery.effects import Live, effect_of
from haetae_policy import Source, SourceKind
from haetae_policy.changes import Put
from haetae_policy.facts import ApiFacts, Facts, Verdict
from haetae_policy.parse import parse_new_policy
from haetae_policy.record import record_of
from haetae_policy.table import PolicyTable
from hypothesis import given
from hypothesis import strategies as st

T0 = 1_780_000_000_000
USERS = ("u-1", "u-2")
API = ApiFacts("app", "r", "GET", "/")

WORDS = st.builds(
    lambda user, action, op, mode, at: Decision(
        ts=T0 + at * 1000, op=op, mode=mode, action=action, subject=Subject(user=user), api=None,
        exp=T0 + at * 1000 + 600_000, detector="d", why="w", pid=policy_id(Subject(user=user), None, Action.BLOCK),
    ),
    st.sampled_from(USERS), st.sampled_from([Action.BLOCK, Action.CHALLENGE]), st.sampled_from(list(Op)),
    st.sampled_from([Mode.ENFORCE, Mode.SHADOW]), st.integers(0, 300),
)  # fmt: skip


def standing(decisions: list[Decision]) -> dict[str, dict[str, object]]:
    """What is in force after these decisions, as the effects say."""
    live, policies = Live(), dict[str, dict[str, object]]()
    for one in decisions:
        effect = effect_of(one, live)
        if effect is None:
            continue
        if effect.kind == "put":
            assert effect.document is not None
            policies[effect.policy_id] = {**effect.document, "until": effect.expires_ms}
            policies.pop(effect.replaces or "", None)
        elif effect.kind == "extend" and effect.policy_id in policies:
            policies[effect.policy_id]["until"] = effect.expires_ms
        elif effect.kind == "revoke":
            policies.pop(effect.policy_id, None)
    return policies


@given(st.lists(WORDS, max_size=12))
def test_decisions_in_shadow_among_others_change_nothing_that_is_in_force(words: list[Decision]) -> None:
    words = sorted(words, key=lambda one: one.ts)
    acting = [one for one in words if one.mode is Mode.ENFORCE]
    assert {name: one for name, one in standing(words).items() if one["mode"] == "enforce"} == standing(acting)


@given(st.lists(WORDS, max_size=12))
def test_policies_of_decisions_in_shadow_refuse_nobody_at_a_gateway(words: list[Decision]) -> None:
    table = PolicyTable()
    quiet = [dataclasses.replace(one, mode=Mode.SHADOW, op=Op.PUT) for one in words]
    for number, (name, document) in enumerate(standing(quiet).items()):
        document.pop("until")
        source = Source(kind=SourceKind.FDS, name="d")
        policy = parse_new_policy(document, policy_id=name, source=source, now_ms=T0)
        table.apply(Put(record_of(policy), seq=number + 1))
    observed: list[Verdict] = []
    for user in USERS:
        assert table.check(Facts(user=user), API, T0 + 1, observed=observed) is None
    assert bool(observed) is bool(words)
