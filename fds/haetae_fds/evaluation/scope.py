"""Was a narrower subject available? Compares each decision with the alternatives, over a case's events.

For a decision that acts: the attack requests it meant (those it matches within `WINDOW_MS` around its beginning) and
the honest people it would match in the whole case. An alternative is better when it matches at least `COVERAGE` of the
same attack requests and fewer honest people. Looks at recorded events; decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from haetae_fds.evaluation.gate import acts, identity, rule_of
from haetae_fds.evaluation.labels import Label

WINDOW_MS: Final = 300_000
COVERAGE: Final = 0.95
MAX_DECISIONS: Final = 60
_ALTERNATIVES: Final[tuple[tuple[str, ...], ...]] = (
    ("session",),
    ("user", "api"),
    ("device", "api"),
    ("device", "ip"),
    ("account", "api", "untrusted"),
    ("pw_fp", "api", "untrusted"),
    ("ip", "api", "untrusted"),
    ("ip", "api"),
    ("ip", "client", "untrusted"),
    ("client", "api", "untrusted"),
    ("ip", "untrusted"),
    ("device",),
    ("user",),
    ("ip",),
)

Recorded = tuple[Mapping[str, Any], Label, bool]
"""An event, its label, and whether the caller was established."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One decision's scope: honest people it matches, and the better alternative's (name, people), if there is one."""

    pid: str
    detector: str
    collateral: int
    better: str | None
    better_collateral: int

    @property
    def exact(self) -> bool:
        """Whether nothing narrower would have done."""
        return self.better is None


def scopes(decisions: Iterable[Mapping[str, Any]], recorded: Sequence[Recorded]) -> list[Scope]:
    """The scope of each acting `put` decision that meant an attack, at most `MAX_DECISIONS` of them."""
    puts = (decision for decision in decisions if decision.get("op") == "put" and acts(decision))
    found = (_scope(decision, recorded) for decision in islice(puts, MAX_DECISIONS))
    return [scope for scope in found if scope is not None]


def _scope(decision: Mapping[str, Any], recorded: Sequence[Recorded]) -> Scope | None:
    ts = int(decision["ts"])
    rule = rule_of(decision, pid=str(decision.get("pid")), from_ms=0)
    meant = [
        (event, established)
        for event, label, established in recorded
        if label.attack is not None
        and abs(event["ts"] - ts) <= WINDOW_MS
        and rule.matches(event, established=established)
    ]
    if not meant:
        return None
    honest = {
        label.user
        for event, label, established in recorded
        if label.attack is None and label.user is not None and rule.matches(event, established=established)
    }
    best, people = None, len(honest)
    if honest:
        for alternative in _ALTERNATIVES:
            matched = _try(decision, alternative, meant, recorded)
            if matched is not None and matched < people:
                best, people = "+".join(alternative), matched
    return Scope(
        pid=rule.pid,
        detector=str(decision.get("detector")),
        collateral=len(honest),
        better=best,
        better_collateral=people,
    )


def _try(
    decision: Mapping[str, Any],
    alternative: tuple[str, ...],
    meant: list[tuple[Mapping[str, Any], bool]],
    recorded: Sequence[Recorded],
) -> int | None:
    """Honest people the alternative matches, or None when it misses too much of the attack."""
    sample = meant[-1][0]
    subject: dict[str, Any] = {}
    for kind in alternative:
        if kind == "untrusted":
            subject["untrusted"] = True
        elif kind != "api":
            value = sample.get("ip") if kind == "ip" else identity(sample, kind)
            if value is None:
                return None
            subject[kind] = value
    api = {"route": sample.get("route")} if "api" in alternative else {}
    rule = rule_of({**decision, "subject": subject, "api": api}, pid="", from_ms=0)
    covered = sum(rule.matches(event, established=established) for event, established in meant)
    if covered < COVERAGE * len(meant):
        return None
    return len(
        {
            label.user
            for event, label, established in recorded
            if label.attack is None and label.user is not None and rule.matches(event, established=established)
        }
    )
