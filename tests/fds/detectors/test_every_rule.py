"""What every rule must keep, whatever it detects."""

import pickle
import random
from typing import Any

import pytest
from haetae_fds import Decision, Detector, Engine
from haetae_fds.detectors.registry import DETECTORS
from haetae_fds.finding import score_of
from haetae_fds.flat import event_of
from haetae_fds.ledger import CONDITIONS

START = 1_700_000_000_000


def noise(seed: int, count: int) -> list[dict[str, Any]]:
    """Events of all sorts, many of them hostile."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        person = rng.randrange(30)
        event: dict[str, Any] = {"id": f"{seed}-{number}", "ts": START + number * 150 + rng.randrange(-3000, 300)}
        event |= {"gw": "app", "route": rng.choice(["r", "hidden", None]), "status": rng.choice([200, 200, 403, 404])}
        event |= {"api": rng.choice(["GET /a/{id}", "POST /transfers", "POST /login"]), "obj": f"o{rng.randrange(400)}"}
        event |= {"obj_n": rng.randrange(400), "ip": rng.choice([f"203.0.{person}.1", f"2001:db8:{person}::1", None])}
        event |= {"asn": rng.choice([None, 7]), "ja4": rng.choice([None, "x", "y"]), "dev": f"d{person}"}
        event |= {"dev_v": rng.random() < 0.7, "user": f"u{person}", "user_v": rng.random() < 0.5, "sess": f"s{person}"}
        if rng.random() < 0.4:
            event |= {"acct": f"a{rng.randrange(60)}", "auth": rng.choice(["ok", "bad", "nouser"]), "pw_fp": "p"}
            event |= {"cred_fp": f"c{rng.randrange(300)}"}
        if rng.random() < 0.2:
            event |= {"sig": rng.choice(["bad", "ok", "expired"]), "nonce": "replay", "dec": rng.choice(["fail", "ok"])}
        if rng.random() < 0.1:
            event |= {"pol": "block"}
        made.append(event)
    return made


def decisions(engine: Engine, events: list[dict[str, Any]]) -> list[Decision]:
    return [one for event in events for one in engine.observe(event_of(event))]


def test_same_events_give_the_same_decisions_byte_for_byte() -> None:
    first, second = (decisions(Engine(), noise(1, 6000)) for _ in range(2))
    assert first
    assert [one.to_json() for one in first] == [one.to_json() for one in second]


def test_saved_and_restored_engine_goes_on_as_if_nothing_had_happened() -> None:
    events = noise(2, 6000)
    whole, half = Engine(), Engine()
    expected = decisions(whole, events)
    made = decisions(half, events[:3000])
    restored = Engine()
    restored.load(half.dump())
    restored._trained = False
    made += decisions(restored, events[3000:])
    assert [one.to_json() for one in made] == [one.to_json() for one in expected]


@pytest.mark.parametrize("seed", [3, 4])
def test_every_decision_explains_itself_within_bounds(seed: int) -> None:
    for one in decisions(Engine(), noise(seed, 6000)):
        assert 0 <= one.score <= 1
        assert 1 <= len(one.events) <= 20
        assert one.why
        assert one.numbers
        assert all(str(number) in one.why or one.op == "del" for number in one.numbers)
        assert one.exp >= one.ts
        if one.action != "alert":
            subject = one.subject
            assert any(subject.to_dict().get(name) for name in (*CONDITIONS, "ip"))
        if one.op == "put":
            assert all(number.value >= number.limit * 0.5 for number in one.numbers)


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: str(detector.name))
def test_detector_is_named_pure_and_picklable(detector: type[Detector]) -> None:
    made = detector(1.0)
    assert made.wants
    assert made.version >= 1
    before = pickle.dumps(made)
    engine = Engine()
    engine.detectors = (made,)
    decisions(engine, noise(5, 1500))
    assert pickle.dumps(made) == before


def test_names_are_unique() -> None:
    assert len({detector.name for detector in DETECTORS}) == len(DETECTORS)


def test_score_is_half_at_the_limit_and_grows() -> None:
    assert score_of(5, 5) == 0.5
    assert score_of(4, 5) < 0.5 < score_of(6, 5) < score_of(60, 5) < 1
    assert score_of(-1, 5) == 0
