"""Rule files: conditions on the models' features, as people write them or `haetae fds propose` finds them.

    {"format": 1, "rules": [{"name": "proposed_1", "when": "address_accounts_10m >= 8 and login_familiar <= 0",
      "action": "challenge", "mode": "shadow", "expires": 1790000000000, "why": "stuffing of 21 November"}]}

`when` is one to five comparisons (`>=`, `<=`) of a feature with a number, joined by `and`. Every rule ends: `expires`
(Unix ms) is at most thirty days after the file was read. In `shadow` it is only written down.

Rules kept: nothing is evaluated as code; bounded in bytes, rules and conditions; unknown names are errors.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import orjson

from haetae_fds.decision import Action
from haetae_fds.errors import ModelInvalid
from haetae_fds.facts import DECOY, FAULT, LOGIN, MISSING, OBJECT, SESSION, SIGNUP, USER, VOLUME, Facts
from haetae_fds.finding import Detector, Finding, api_ref, number
from haetae_fds.models.subject import subject_of
from haetae_fds.models.vector import FEATURES, INDEX
from haetae_fds.state import DAY, MIN10

FORMAT: Final = 1
MAX_BYTES: Final = 256 * 1024
MAX_RULES: Final = 100
MAX_CONDITIONS: Final = 5
MAX_LIFE: Final = 30 * DAY
_CONDITION: Final = re.compile(r"([a-z][a-z0-9_]{0,63}) (>=|<=) ([0-9]{1,9}(?:\.[0-9]{1,6})?)")
#: What rules of files are called, so that no detector is ever mistaken for one.
RULE_NAME: Final = re.compile(r"(rule|proposed)_[a-z0-9_]{1,56}")
_ACTIONS: Final = frozenset({Action.ALERT, Action.THROTTLE, Action.CHALLENGE, Action.BLOCK})
_ALL: Final = LOGIN | FAULT | OBJECT | MISSING | SESSION | VOLUME | USER | SIGNUP | DECOY
_RATE: Final = (30, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One comparison: at least, or at most."""

    feature: str
    at_least: bool
    value: float

    def holds(self, value: float) -> bool:
        """Whether a value fulfils it."""
        return value >= self.value if self.at_least else value <= self.value

    def __str__(self) -> str:
        return f"{self.feature} {'>=' if self.at_least else '<='} {self.value:.6f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a file. `expires` in Unix ms; `enforce` False is shadow."""

    name: str
    when: tuple[Condition, ...]
    action: Action
    enforce: bool
    expires: int
    why: str

    def text(self) -> str:
        """Return the conditions as they are written."""
        return " and ".join(str(condition) for condition in self.when)

    def to_dict(self) -> dict[str, Any]:
        """Return the form in the file."""
        return {
            "name": self.name,
            "when": self.text(),
            "action": self.action.value,
            "mode": "enforce" if self.enforce else "shadow",
            "expires": self.expires,
            "why": self.why,
        }


class FileRule(Detector):
    """A rule of a file as a detector. It is a stateless reader of facts, like every other."""

    name = "file_rule"
    wants = _ALL

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.name = rule.name  # type: ignore[misc] # one class, as many rules as files have
        self.rule = rule

    def observe(self, f: Facts) -> Finding | None:
        """Return a finding when every condition holds."""
        rule = self.rule
        if f.now >= rule.expires:
            return None
        values = []
        for condition in rule.when:
            value = FEATURES[INDEX[condition.feature]].bounded(f)
            if not condition.holds(value):
                return None
            values.append(number(condition.feature, value, condition.value))
        return Finding(
            detector=rule.name,
            version=1,
            action=rule.action,
            subjects=(subject_of(f),),
            api=api_ref(f),
            what=rule.why,
            numbers=tuple(values),
            events=(f.event.id,),
            ttl=MIN10,
            score=0.5,
            rate=_RATE if rule.action is Action.THROTTLE else None,
            campaign=f"{rule.name} {f.net_key or f.actor}",
            shadow=None if rule.enforce else "a rule in shadow",
        )


def parse_when(text: str) -> tuple[Condition, ...]:
    """Read conditions. Raises ModelInvalid naming what does not read."""
    parts = text.split(" and ")
    if len(parts) > MAX_CONDITIONS:
        raise ModelInvalid(f"a rule has at most {MAX_CONDITIONS} conditions")
    read = []
    for part in parts:
        match = _CONDITION.fullmatch(part)
        if match is None:
            raise ModelInvalid(f"not a condition: {part[:80]!r}")
        name, how, value = match.groups()
        if name not in INDEX:
            raise ModelInvalid(f"there is no feature {name}")
        read.append(Condition(feature=name, at_least=how == ">=", value=float(value)))
    return tuple(read)


def read_rules(data: bytes, *, now: int) -> tuple[Rule, ...]:
    """Read a rule file at `now` (Unix ms). Raises ModelInvalid."""
    if len(data) > MAX_BYTES:
        raise ModelInvalid("rule file: too large")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ModelInvalid("rule file: not JSON") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT or not isinstance(value.get("rules"), list):
        raise ModelInvalid("rule file: not of this format")
    if len(value["rules"]) > MAX_RULES:
        raise ModelInvalid(f"rule file: at most {MAX_RULES} rules")
    rules = tuple(_rule(row, now) for row in value["rules"])
    if len({rule.name for rule in rules}) < len(rules):
        raise ModelInvalid("rule file: a name occurs twice")
    return rules


def write_rules(rules: Sequence[Rule], *, more: Sequence[dict[str, Any]]) -> bytes:
    """Return the file's bytes; `more` is what else is to be told of each rule (its back-test)."""
    told = [{**rule.to_dict(), **extra} for rule, extra in zip(rules, more, strict=True)]
    return orjson.dumps({"format": FORMAT, "rules": told}, option=orjson.OPT_INDENT_2)


def _rule(row: Any, now: int) -> Rule:
    if not isinstance(row, dict) or row.keys() - _KEYS:
        raise ModelInvalid("rule file: a rule is an object of name, when, action, mode, expires, why, backtest")
    name, when, why, expires = row.get("name"), row.get("when"), row.get("why", ""), row.get("expires")
    if not isinstance(name, str) or not RULE_NAME.fullmatch(name):
        raise ModelInvalid(f"rule file: {str(name)[:80]!r} is no name; rules are called rule_… or proposed_…")
    if not isinstance(when, str) or not isinstance(why, str) or len(why) > 300 or not why.isprintable():
        raise ModelInvalid(f"{name}: when and why are texts")
    if type(expires) is not int or expires > now + MAX_LIFE or not isfinite(expires):
        raise ModelInvalid(f"{name}: expires is a time within thirty days (Unix ms)")
    if row.get("mode") not in ("shadow", "enforce") or row.get("action") not in _ACTIONS:
        raise ModelInvalid(f"{name}: mode is shadow or enforce; action alert, throttle, challenge or block")
    return Rule(
        name=name,
        when=parse_when(when),
        action=Action(row["action"]),
        enforce=row["mode"] == "enforce",
        expires=expires,
        why=why or "a rule of the operators",
    )


_KEYS: Final = {"name", "when", "action", "mode", "expires", "why", "backtest"}
