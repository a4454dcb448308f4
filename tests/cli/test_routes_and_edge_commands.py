"""``haetae routes check`` and ``haetae edge``: the real loader and the real gateway behind them."""

import shutil
from pathlib import Path
from typing import Any

CONFIG = Path(__file__).parents[2] / "config"


def test_sample_configuration_loads(haetae: Any, tmp_path: Path) -> None:
    shutil.copytree(CONFIG, tmp_path / "config")
    outcome = haetae.run("routes", "check", IDENTITY_TOKEN="t" * 20)
    assert (outcome.code, outcome.err) == (0, "")
    assert "ok   config/app" in outcome.out
    assert "routes, revision" in outcome.out


def test_every_problem_is_listed_with_its_place(haetae: Any, tmp_path: Path) -> None:
    folder = tmp_path / "app"
    shutil.copytree(CONFIG / "app", folder)
    with (folder / "routes" / "bad.yaml").open("w") as file:
        file.write("routes:\n- id: bad\n  uri: http://127.0.0.1:1\n  predicates:\n  - Pth=/x\n")
    outcome = haetae.run("routes", "check", str(folder), IDENTITY_TOKEN="t" * 20)
    assert outcome.code == 1
    assert f"{folder}/routes/bad.yaml:5:" in outcome.out
    assert "Pth" in outcome.out


def test_folder_that_is_not_there_exits_one(haetae: Any) -> None:
    outcome = haetae.run("routes", "check", "absent")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err


def test_edge_command_reports_a_configuration_it_cannot_use(haetae: Any, tmp_path: Path) -> None:
    outcome = haetae.run("edge", "--config", str(tmp_path), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    assert outcome.code == 1
    assert "gateway.yaml" in outcome.err
    assert "Traceback" not in outcome.err
