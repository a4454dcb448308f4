"""Attacks and hard days that came after the rules: caught early, and nobody pays for a forged identity."""

import pytest

from tests.fds.outside.bazaar import Bazaar, Outcome, Scene
from tests.fds.outside.surprises import ATTACKS, CLAIMED, HARD_DAYS

SEEDS = (611, 612)


@pytest.fixture(scope="module")
def prepared() -> dict[int, bytes]:
    return {}


def played(scene: Scene, seed: int, prepared: dict[int, bytes]) -> tuple[Bazaar, Outcome]:
    if seed not in prepared:
        prepared[seed] = Bazaar(seed).warm()
    world = Bazaar(seed)
    scene(world)
    return world, world.play(prepared[seed])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ATTACKS)
def test_attack_nobody_had_in_mind_is_refused_early_and_for_good(
    name: str, seed: int, prepared: dict[int, bytes]
) -> None:
    scene, before, residual = ATTACKS[name]
    _, out = played(scene, seed, prepared)
    assert out.first is not None
    assert out.before <= before
    assert out.residual <= residual
    assert not out.refused - {"burglar"}
    assert len(out.challenged - {"burglar"}) <= 8


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CLAIMED)
def test_owners_of_forged_ids_notice_nothing(name: str, seed: int, prepared: dict[int, bytes]) -> None:
    world, out = played(ATTACKS[name][0], seed, prepared)
    owners = {member.user for member in CLAIMED[name](world) if member.dev is not None}
    assert any(not through for _, through in out.attack)
    assert not owners & (out.refused | out.challenged)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", HARD_DAYS)
def test_hard_day_nobody_had_in_mind_keeps_everybody_in(name: str, seed: int, prepared: dict[int, bytes]) -> None:
    _, out = played(HARD_DAYS[name], seed, prepared)
    assert not out.refused
    assert len(out.challenged) <= 6
