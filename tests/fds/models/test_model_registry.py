"""The registry of model versions: sealed files, stages, who may give a version more rights."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from haetae_fds.errors import ModelInvalid
from haetae_fds.io.models import ModelFolder, load_scorer
from haetae_fds.models.registry import Entry, Registry, Reviewed, Stage, read_registry, write_registry
from haetae_fds.models.roles import CHALLENGER, NOVELTY, OFFLINE, Role

from tests.fds.models.rows_of import DAY, START
from tests.fds.models.test_every_detector_and_model import trained as hand_made

NOW = START + 100 * DAY


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    made = ModelFolder(tmp_path / "models")
    made.make()
    return made


def test_new_version_is_registered_in_shadow_and_watches(folder: ModelFolder) -> None:
    folder.add(hand_made(), {"a": 1}, "# card", now=NOW)
    model = load_scorer(folder)
    assert list(model.trained) == [CHALLENGER]
    assert model.role(CHALLENGER) is Role.SHADOW
    (entry,) = (entry for entry in folder.registry().all() if entry.name == OFFLINE)
    assert (entry.stage, folder.card(entry)) == (Stage.SHADOW, "# card")


def test_promoted_version_acts_and_the_next_one_watches_beside_it(folder: ModelFolder) -> None:
    folder.add(hand_made(), {}, "", now=NOW)
    folder.add(replace(hand_made(), version=4), {}, "", now=NOW)
    registry = folder.registry().moved(
        OFFLINE, 3, Stage.ENFORCE, by="kim", why="", now=NOW, reviewed=Reviewed(), owner="kim"
    )
    folder.keep(registry)
    model = load_scorer(folder)
    assert {name: one.version for name, one in model.trained.items()} == {OFFLINE: 3, CHALLENGER: 4}
    assert model.role(OFFLINE) is Role.ENFORCE
    folder.keep(registry.moved(OFFLINE, 4, Stage.ENFORCE, by="kim", why="", now=NOW, reviewed=Reviewed(), owner="k"))
    model = load_scorer(folder)
    assert {name: one.version for name, one in model.trained.items()} == {OFFLINE: 4, CHALLENGER: 3}


def test_changed_model_registry_or_key_is_refused(folder: ModelFolder) -> None:
    folder.add(hand_made(), {}, "", now=NOW)
    place = folder.folder / f"{OFFLINE}-3" / "model.json"
    good = place.read_bytes()
    place.write_bytes(good.replace(b'"challenge":0.5', b'"challenge":0.1'))
    with pytest.raises(ModelInvalid, match="not the file"):
        load_scorer(folder)
    place.write_bytes(good)
    listed = folder.folder / "registry"
    held = listed.read_bytes()
    listed.write_bytes(held.replace(b'"shadow"', b'"enforce"'))
    with pytest.raises(ModelInvalid, match="changed by something else"):
        load_scorer(folder)
    listed.write_bytes(held)
    assert load_scorer(folder).trained
    (folder.folder / "registry.key").write_bytes(os.urandom(32))
    with pytest.raises(ModelInvalid, match="another key"):
        load_scorer(folder)


def test_folder_or_key_open_to_others_is_refused(folder: ModelFolder) -> None:
    folder.add(hand_made(), {}, "", now=NOW)
    key = folder.folder / "registry.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.chmod(0o644)
    with pytest.raises(ModelInvalid, match="read by others"):
        folder.registry()
    key.chmod(0o600)
    folder.folder.chmod(0o777)
    with pytest.raises(ModelInvalid, match="nobody else"):
        folder.registry()


def test_missing_folder_or_file_is_a_refusal_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match="No such file"):
        load_scorer(ModelFolder(tmp_path / "none"))


def registered(stage: Stage = Stage.SHADOW, *, days: float = 0) -> tuple[Registry, int]:
    entry = Entry(name=OFFLINE, version=1, stage=Stage.SHADOW, made=NOW, sha256="0" * 64)
    registry = Registry().added(entry)
    now = NOW + int(days * DAY)
    if stage is not Stage.SHADOW:
        registry = registry.moved(OFFLINE, 1, stage, by="a", why="", now=now, reviewed=Reviewed(), owner="a")
    return registry, now


@pytest.mark.parametrize(
    ("days", "right", "wrong", "owner", "to", "allowed"),
    [
        (0, 0, 0, None, Stage.ENFORCE, False),
        (0, 0, 0, "kim", Stage.ENFORCE, True),
        (14, 800, 0, None, Stage.ENFORCE, True),
        (13, 800, 0, None, Stage.ENFORCE, False),
        (14, 100, 0, None, Stage.ENFORCE, False),
        (14, 800, 3, None, Stage.ENFORCE, False),
        (14, 800, 0, None, Stage.BLOCK, False),
        (13, 800, 0, "kim", Stage.BLOCK, False),
        (14, 100, 0, "kim", Stage.BLOCK, False),
        (14, 800, 0, "kim", Stage.BLOCK, True),
    ],
)
def test_more_rights_take_time_evidence_or_a_name_and_to_refuse_takes_all(
    days: float, right: int, wrong: int, owner: str | None, to: Stage, *, allowed: bool
) -> None:
    registry, now = registered(days=days)
    reviewed = Reviewed(right=right, wrong=wrong)
    if not allowed:
        with pytest.raises(ModelInvalid, match="there is: "):
            registry.moved(OFFLINE, 1, to, by="me", why="", now=now, reviewed=reviewed, owner=owner)
        return
    entry = registry.moved(OFFLINE, 1, to, by="me", why="x", now=now, reviewed=reviewed, owner=owner).get(OFFLINE, 1)
    assert entry.stage is to
    assert entry.steps[-1].by == "me"
    assert f"{right} of {right + wrong}" in entry.steps[-1].why


def test_retired_version_stays_retired_and_an_unknown_one_is_refused() -> None:
    registry, now = registered()
    registry = registry.moved(OFFLINE, 1, Stage.RETIRED, by="a", why="", now=now, reviewed=Reviewed(), owner=None)
    with pytest.raises(ModelInvalid, match="retired"):
        registry.moved(OFFLINE, 1, Stage.SHADOW, by="a", why="", now=now, reviewed=Reviewed(), owner=None)
    with pytest.raises(ModelInvalid, match="no version 9"):
        registry.get(OFFLINE, 9)
    assert registry.challenger() is None


def test_models_that_learn_while_running_begin_in_shadow_and_can_be_promoted() -> None:
    registry = Registry()
    assert registry.role(NOVELTY) is Role.SHADOW
    registry = registry.moved(NOVELTY, 1, Stage.ENFORCE, by="a", why="", now=NOW, reviewed=Reviewed(), owner="kim")
    again = read_registry(write_registry(registry))
    assert again.role(NOVELTY) is Role.ENFORCE
    assert again.get(NOVELTY, 1).steps == registry.get(NOVELTY, 1).steps


# --- rules from files
