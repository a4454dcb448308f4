"""One in a hundred of the callers that nobody flagged, but who are very strange, is shown to people."""

import pytest
from haetae_fds import Decision, Engine, EngineSettings
from haetae_fds.decision import Action, Mode, Subject
from haetae_fds.delivery.effects import Live, effect_of
from haetae_fds.facts import Facts
from haetae_fds.finding import Finding
from haetae_fds.models.review import MOST, REVIEW
from haetae_fds.models.roles import NOVELTY
from haetae_fds.models.scorer import ModelScorer, ModelSettings

from tests.fds.models.rows_of import START, event, facts


def wary(monkeypatch: pytest.MonkeyPatch) -> ModelScorer:
    """A model of novelty to which every event is stranger than all it knows."""
    model = ModelScorer(ModelSettings(least=1000))
    for _ in range(1000):
        model.state.thresholds[NOVELTY].add("web new", 0.1, START)
    monkeypatch.setattr(type(model.state.novelty), "strangeness", lambda *_: 0.9)
    return model


def strange(number: int) -> Facts:
    f = facts(number, ip="203.0.113.9")
    f.actor, f.ip = f"i:{number}", "203.0.113.9"
    return f


def test_one_in_a_hundred_is_shown_each_once_and_so_many_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    model = wary(monkeypatch)
    shown = [one for number in range(3000) for one in model.findings(strange(number))]
    assert 15 <= len(shown) <= 50
    assert {(one.detector, one.action) for one in shown} == {(REVIEW, Action.CHALLENGE)}
    assert all(one.shadow for one in shown), "nobody is asked for anything"
    assert not [one for number in range(3000) for one in model.findings(strange(number)) if one.detector == REVIEW]
    later = [one for number in range(3000, 30_000) for one in model.findings(strange(number))]
    assert len(shown) + len(later) == MOST


def test_whom_a_rule_flags_is_no_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    model = wary(monkeypatch)
    rule = Finding(
        detector="scanner", version=1, action=Action.BLOCK, subjects=(Subject(ip="203.0.113.9"),), api=None,
        what="w", numbers=(), events=("e",),
    )  # fmt: skip
    assert not [one for number in range(3000) for one in model.findings(strange(number), [rule])]


def test_caller_who_is_shown_is_a_case_in_shadow_that_people_can_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    model = wary(monkeypatch)
    engine = Engine(EngineSettings(narrow_ms=0), scorer=model)
    made: list[Decision] = []
    for number in range(1500):
        fields = {"api": "POST /login", "auth": "ok", "acct": f"a{number}", "cred_fp": f"c{number}"}
        made += engine.observe(event(number, ip=f"203.{number // 250}.{number % 250}.9", status=200, **fields))
    shown = [one for one in made if one.detector == REVIEW]
    assert shown
    assert {one.mode for one in shown} == {Mode.SHADOW}
    assert all("one in a hundred such callers is shown to people" in one.why for one in shown)
    effect = effect_of(shown[0], Live())
    assert effect is not None
    assert effect.document is not None
    assert (effect.kind, effect.document["mode"]) == ("put", "shadow")
