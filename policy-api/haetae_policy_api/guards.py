"""Guards: whether a new policy takes effect, only watches, waits for a second person, or is refused.

Pure: everything that was counted or predicted is an argument. The rules of the policy language (networks machines may
not name, longest life) are checked beside this by `haetae_policy.rules`.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from haetae_policy.model import KINDS, Action, Mode, Policy
from haetae_policy.rules import Rules

from haetae_policy_api.errors import NotAllowed, TooMany
from haetae_policy_api.roles import Caller
from haetae_policy_api.settings import Settings
from haetae_policy_api.traffic import Preview

_NO_EFFECT: Final = (Action.OBSERVE,)


class Course(StrEnum):
    """What becomes of a policy that was asked for."""

    IN_FORCE = "in_force"
    OBSERVED = "observed"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The policy as it will be stored, and why if it is not simply in force."""

    course: Course
    policy: Policy
    reasons: tuple[str, ...] = ()


def judge(policy: Policy, caller: Caller, prediction: Preview, *, settings: Settings, rules: Rules) -> Judgement:
    """Decide about a new policy; raises NotAllowed for what a machine may never ask for."""
    if caller.is_machine:
        _check_machine(policy)
    if policy.action in _NO_EFFECT or policy.mode is Mode.SHADOW:
        # A wide policy needs its second person even when it only watches: changing it later must not skip that.
        wide = rules.is_wide(policy.subject)
        return Judgement(Course.PENDING, policy, ("wide",)) if wide else Judgement(Course.IN_FORCE, policy)
    reasons = []
    if rules.is_wide(policy.subject):
        reasons.append("wide")
    enough = prediction.of_requests >= settings.share_least
    if policy.action is not Action.ALLOW and enough and prediction.share > settings.share_limit:
        reasons.append("share_above_limit")
    if not reasons:
        return Judgement(Course.IN_FORCE, policy)
    if caller.is_machine and reasons == ["share_above_limit"]:
        return Judgement(Course.OBSERVED, replace(policy, mode=Mode.SHADOW), tuple(reasons))
    return Judgement(Course.PENDING, policy, tuple(reasons))


def _check_machine(policy: Policy) -> None:
    if policy.hard:
        raise NotAllowed("only a person may make a hard block")
    if policy.action is Action.ALLOW:
        raise NotAllowed("only a person may make an exception")


def check_rate(spent: int, *, settings: Settings) -> None:
    """Refuse a machine that has made more than its share in this minute."""
    if spent > settings.machine_per_minute:
        raise TooMany(
            f"a machine makes at most {settings.machine_per_minute} policies a minute", headers={"Retry-After": "60"}
        )


def is_watched(policy: Policy, prediction: Preview) -> bool:
    """Whether refusals of `policy` are compared with the prediction.

    Only subjects that may hold more than one person: who is blocked by name alone can repeat as often as they like
    without harming anybody, and so can those who guess at one account or try one secret. What a second person approved
    stays as it is.
    """
    if any(getattr(policy.subject, kind) is not None for kind in KINDS if kind != "client"):
        return False
    acts = policy.action in (Action.BLOCK, Action.CHALLENGE, Action.THROTTLE) and policy.mode is Mode.ENFORCE
    return acts and prediction.known and policy.approved_by is None


def callers_jumped(*, callers: int, predicted: int, settings: Settings) -> bool:
    """Whether refusals came from more callers than were predicted, by the factor.

    Whoever is blocked decides how often they come back: were repetition enough, an attacker would take back the block
    by hammering against it.
    """
    return callers > settings.rollback_factor * max(1, predicted)


def jumped(*, hits: int, predicted_per_minute: float, elapsed_ms: int, settings: Settings) -> bool:
    """Whether refusals are beyond what was predicted, by the factor and above the floor of the settings."""
    minutes = max(1.0, elapsed_ms / 60_000)
    return hits > max(settings.rollback_floor, settings.rollback_factor * predicted_per_minute * minutes)
