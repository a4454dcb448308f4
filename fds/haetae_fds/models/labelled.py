"""A logistic regression that learns while running, from what became known about events.

Labels come from rules that are hardly ever wrong, ten minutes later (so that the beginning of an attack is not taken
for harmless meanwhile); from people's verdicts; and from challenges, passed or not. An event is warm with enough of
both. Judging changes nothing.

Rules kept: every queue and memory is bounded; event time; the same calls give the same weights. Not here: where the
boundary lies (`conformal`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Final, TypeVar

from river.linear_model import LogisticRegression
from river.optim import SGD

from haetae_fds.models.vector import FEATURES, scaled
from haetae_fds.state import DAY, HOUR, MIN10

#: Rules whose word is taken for the truth. What only asks for more proof, or knows by comparison, is not among them.
PRECISE: Final = frozenset(
    {
        "account_brute_force", "single_source_brute_force", "stuffing_from_address", "distributed_stuffing", "spraying",
        "user_enumeration", "object_enumeration", "object_sweep", "replay", "bad_signature", "decrypt_failure",
        "app_analysis", "scanner", "stolen_session", "canary", "mass_signup",
    }
)  # fmt: skip
DELAY: Final = MIN10
MAX_WAITING: Final = 5000
MAX_REMEMBERED: Final = 5000
RULE_WEIGHT: Final = 1.0
PERSON_WEIGHT: Final = 5.0
CHALLENGE_WEIGHT: Final = 0.3
#: One harmless event in so many is enough: they are many and alike.
EVERY: Final = 10
LEAST_FRAUD: Final = 30
LEAST_HARMLESS: Final = 300
_RATE: Final = 0.05
_L2: Final = 1e-5
_SPAN: Final = 12.0
_LEAST: Final = 1 / (1 + exp(_SPAN))
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A label that counts from `due` on unless what it says is taken back before. `key` is who it is about."""

    due: int
    key: str
    row: tuple[float, ...]
    fraud: bool
    weight: float


class Labelled:
    """The model and the labels on their way to it."""

    def __init__(self) -> None:
        self.model = LogisticRegression(optimizer=SGD(_RATE), l2=_L2, intercept_lr=_RATE)
        self.seen = [0, 0]
        self._waiting: deque[Waiting] = deque()
        self._suspects: OrderedDict[str, int] = OrderedDict()
        self._cleared: OrderedDict[str, int] = OrderedDict()
        self._rows: OrderedDict[str, tuple[float, ...]] = OrderedDict()
        self._turn = 0

    @property
    def warm(self) -> bool:
        """Whether it has seen enough to have an opinion."""
        return self.seen[1] >= LEAST_FRAUD and self.seen[0] >= LEAST_HARMLESS

    def strangeness(self, x: dict[str, float]) -> float | None:
        """Judge scaled features: [0, 1], 0.5 where fraud is as likely as not; None while warming up."""
        if not self.warm:
            return None
        # The probability saturates long before two attacks look the same, so its logarithmic odds are the measure.
        p = min(1 - _LEAST, max(_LEAST, self.probability(x)))
        return 0.5 + log(p / (1 - p)) / (2 * _SPAN)

    def probability(self, x: dict[str, float]) -> float:
        """Return the probability of fraud as the model sees it."""
        return float(self.model.predict_proba_one(x)[True])  # type: ignore[no-untyped-call]

    def contributions(self, x: Mapping[str, float]) -> list[tuple[str, float]]:
        """Return what speaks for fraud, the most telling first."""
        found = [(f.name, self.model.weights.get(f.name, 0.0) * x[f.name]) for f in FEATURES]
        return sorted((one for one in found if one[1] > 0), key=lambda one: (-one[1], one[0]))

    def suspect(self, actor: str, keys: Sequence[str], row: Sequence[float], now: int, *, precise: bool) -> None:
        """Note that a rule has found something: the row is remembered for people's verdicts, by `keys`."""
        held = tuple(row)
        _remember(self._suspects, actor, now)
        for key in (actor, *keys):
            _remember(self._rows, key, held)
        if precise:
            self._wait(Waiting(due=now + DELAY, key=actor, row=held, fraud=True, weight=RULE_WEIGHT))

    def harmless(self, actor: str, row: Sequence[float], now: int) -> None:
        """Note that nobody has a word against an event; each tenth is kept until it can be believed."""
        self._turn += 1
        if self._turn >= EVERY:
            self._turn = 0
            self._wait(Waiting(due=now + DELAY, key=actor, row=tuple(row), fraud=False, weight=RULE_WEIGHT))

    def challenged(self, actor: str, now: int, *, passed: bool, row: Sequence[float] | None = None) -> None:
        """Note how a challenge went; one that was not met is a weak sign, and none once it is met later."""
        if passed:
            _remember(self._cleared, actor, now)
        known = self._rows.get(actor) if row is None else tuple(row)
        if known is not None:
            self._wait(
                Waiting(
                    due=now + DELAY, key=actor, row=known, fraud=not passed,
                    weight=RULE_WEIGHT if passed else CHALLENGE_WEIGHT,
                )
            )  # fmt: skip

    def told(self, key: str, now: int, *, fraud: bool) -> bool:
        """Learn what a person said about a decision; return whether its event is still remembered."""
        row = self._rows.pop(key, None)
        if row is None:
            return False
        if not fraud:
            for actor in [actor for actor, held in self._rows.items() if held is row or held == row]:
                _remember(self._cleared, actor, now)
        self._learn(row, fraud=fraud, weight=PERSON_WEIGHT)
        return True

    def settle(self, now: int) -> None:
        """Learn the labels that have waited long enough and were not taken back."""
        while self._waiting and self._waiting[0].due <= now:
            one = self._waiting.popleft()
            if not self._taken_back(one, now):
                self._learn(one.row, fraud=one.fraud, weight=one.weight)

    def _taken_back(self, one: Waiting, now: int) -> bool:
        """Whether something said about the same caller since speaks against a label; the last word counts."""
        suspected, cleared = self._suspects.get(one.key, -DAY), self._cleared.get(one.key, -DAY)
        if one.fraud:
            return now - cleared <= HOUR
        return now - suspected <= HOUR and suspected > cleared

    def _wait(self, one: Waiting) -> None:
        if len(self._waiting) >= MAX_WAITING:
            if not one.fraud:
                return
            self._waiting.popleft()
        self._waiting.append(one)

    def _learn(self, row: Sequence[float], *, fraud: bool, weight: float) -> None:
        self.model.learn_one(scaled(row), fraud, weight)
        self.seen[fraud] += 1


def _remember(memory: OrderedDict[str, _T], key: str, value: _T) -> None:
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)
