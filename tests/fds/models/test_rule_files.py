"""Rules from files, and rules proposed from confirmed attacks: bounded, read as written, tried on what is new."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from haetae_fds import Engine
from haetae_fds.decision import Action, Subject
from haetae_fds.errors import ModelInvalid
from haetae_fds.models.propose import propose
from haetae_fds.models.rulefile import FileRule, parse_when, read_rules, write_rules
from haetae_fds.models.vector import FEATURES
from hypothesis import given
from hypothesis import strategies as st

from tests.fds.detectors.scene import Scene
from tests.fds.models.rows_of import DAY, START, row, world

NOW = START + 100 * DAY


def rule_file(**changes: Any) -> bytes:
    rule = {
        "name": "rule_x", "when": "login >= 1 and address_accounts_10m >= 3", "action": "challenge", "mode": "enforce",
        "expires": START + 20 * DAY, "why": "because",
    }  # fmt: skip
    return orjson.dumps({"format": 1, "rules": [rule | changes]})


def test_rule_of_a_file_acts_with_its_numbers_and_only_written_down_in_shadow() -> None:
    far = 1_700_000_000_000 + 25 * DAY
    (one,) = stuffed_at(rule_file(expires=far))
    assert (one.detector, one.action, one.mode.value) == ("rule_x", Action.CHALLENGE, "enforce")
    assert [(n.name, n.value, n.limit) for n in one.numbers] == [("login", 1, 1), ("address_accounts_10m", 3, 3)]
    (one,) = stuffed_at(rule_file(mode="shadow", expires=far))
    assert one.mode.value == "shadow"
    assert stuffed_at(rule_file(expires=1_700_000_000_000)) == []


def stuffed_at(data: bytes) -> list[Any]:
    rules = [FileRule(rule) for rule in read_rules(data, now=1_700_000_000_000)]
    scene = Scene()
    scene.engine.detectors = tuple(Engine(rules=rules).detectors[-1:])
    made = []
    for number in range(6):
        made += scene.send(300, **scene.stranger(1), **scene.login(f"x{number}", "bad", "leaked"))
    return made[:1]


@pytest.mark.parametrize(
    "changes",
    [
        {"when": "__import__('os') >= 1"}, {"when": "login > 1"}, {"when": "login >= -1"}, {"when": "login >= 1e9"},
        {"when": ""}, {"when": "colour >= 1"}, {"when": " and ".join(["login >= 1"] * 6)}, {"name": "spraying"},
        {"name": "rule_X"}, {"action": "delete"}, {"mode": "maybe"}, {"expires": START + 60 * DAY}, {"expires": "soon"},
        {"why": 5}, {"why": "\x1b[2J"}, {"more": 1},
    ],
)  # fmt: skip
def test_rule_that_is_none_refuses_the_file(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelInvalid):
        read_rules(rule_file(**changes), now=START)


def test_rule_file_is_bounded_and_names_are_unique() -> None:
    rules = read_rules(rule_file(), now=START)
    with pytest.raises(ModelInvalid, match="twice"):
        read_rules(write_rules([*rules, *rules], more=[{}, {}]), now=START)
    many = [replace(rules[0], name=f"rule_{number}") for number in range(101)]
    with pytest.raises(ModelInvalid, match="at most 100"):
        read_rules(write_rules(many, more=[{}] * 101), now=START)
    with pytest.raises(ModelInvalid, match="too large"):
        read_rules(b" " * 300_000, now=START)


@given(
    parts=st.lists(
        st.tuples(st.sampled_from([f.name for f in FEATURES]), st.booleans(), st.decimals(0, 99_999, places=4)),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_conditions_are_read_as_they_are_written(parts: list[tuple[str, bool, Any]]) -> None:
    text = " and ".join(f"{name} {'>=' if least else '<='} {value}" for name, least, value in parts)
    read = parse_when(text)
    assert parse_when(" and ".join(map(str, read))) == read
    assert [float(value) for *_, value in parts] == [condition.value for condition in read]


def test_proposal_catches_the_attack_and_nobody_else_on_what_it_has_not_seen() -> None:
    found = propose(world(), expires=NOW)
    assert found
    for one in found:
        assert one.backtest.precision == 1.0
        assert one.backtest.recall > 0.7
        assert one.backtest.days_hit == 0
        assert not one.rule.enforce
        assert len(one.rule.when) <= 3
    again = read_rules(write_rules([one.rule for one in found], more=[{}] * len(found)), now=NOW)
    assert again == tuple(one.rule for one in found)


def test_attack_that_looks_like_people_gets_no_rule() -> None:
    rows = [row(START + n * 60_000, f"p{n % 50}", login=1.0) for n in range(500)]
    rows += [row(START + n * 60_000, "x", "same", login=1.0) for n in range(40)]
    collected = replace(world(), rows=sorted(rows, key=lambda one: one.ts))
    assert propose(collected, expires=NOW) == []


def test_subject_of_a_rule_names_strangers_at_login() -> None:
    (one,) = stuffed_at(rule_file(expires=1_700_000_000_000 + DAY))
    assert one.subject == Subject(ip="203.0.1.9", client="bot|bot|bot", untrusted=True)
