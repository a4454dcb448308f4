"""``haetae fds``: a command costs what it needs itself, so that the switch is turned at once."""

import subprocess
import sys

import pytest
from haetae_cli.main import main

COMMANDS = (
    "replay", "train", "propose", "models", "evaluate", "worlds", "run",
    "mode", "undo", "explain", "feedback", "labels",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_declares_its_options_when_asked(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fds", command, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: haetae fds {command} ")
    assert shown.count("--") > 1


def test_turning_the_switch_imports_no_worker_no_models_and_no_simulated_world() -> None:
    script = (
        "import sys\nfrom haetae_cli.main import main\n"
        "try:\n    main(['fds', 'mode', '--help'])\nexcept SystemExit:\n    pass\n"
        "slow = {'aiohttp', 'river', 'sklearn', 'haetae_demo', 'haetae_fds.io.run'}\n"
        "print('loaded', *sorted(slow & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines()[-1] == "loaded"
