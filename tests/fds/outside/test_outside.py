"""The engine in a world written apart from the one it was developed in: attacks are caught, hard days stay clean."""

import pytest

from tests.fds.outside.bazaar import Bazaar, Outcome, Scene
from tests.fds.outside.gangs import ATTACKS, HARD_DAYS

SEEDS = (501, 502)


@pytest.fixture(scope="module")
def warmed() -> dict[int, bytes]:
    return {seed: Bazaar(seed).warm() for seed in SEEDS}


def played(scene: Scene, seed: int, warmed: dict[int, bytes]) -> Outcome:
    world = Bazaar(seed)
    scene(world)
    return world.play(warmed[seed])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ATTACKS)
def test_attack_of_an_unknown_world_is_caught_and_people_are_not(
    name: str, seed: int, warmed: dict[int, bytes]
) -> None:
    scene, seconds, residual = ATTACKS[name]
    out = played(scene, seed, warmed)
    assert out.first is not None
    assert out.first <= seconds
    assert out.residual <= residual
    assert len(out.refused - {"burglar", "visitors"}) <= 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", HARD_DAYS)
def test_hard_day_of_an_unknown_world_hurts_hardly_anybody(name: str, seed: int, warmed: dict[int, bytes]) -> None:
    out = played(HARD_DAYS[name], seed, warmed)
    assert len(out.refused) <= (0 if name == "plain_day" else 2)
    assert len(out.challenged) <= (1 if name == "plain_day" else 5)
