"""The watch over minutes, beside a worker: clocks of gateways do not close the minutes of the others."""

from pathlib import Path

from haetae_fds import Event
from haetae_fds.alerts import Alert
from haetae_fds.io.checkpoints import CheckpointFolder
from haetae_fds.io.watch import Watch

BEGAN = 1_795_000_020_000
MINUTE = 60_000


def test_one_clock_years_ahead_hides_no_failing_route(tmp_path: Path) -> None:
    told: list[Alert] = []
    now = BEGAN
    watch = Watch(CheckpointFolder(tmp_path / "alerts"), told.append, clock_ms=lambda: now)
    wild = Event(id="wild", ts=BEGAN + 10**11, gw="other", route="pay", status=200)
    for minute in range(40):
        now = BEGAN + minute * MINUTE
        if minute == 1:
            watch.observe(wild)
        for number in range(60):
            status = 500 if minute >= 30 else 200
            watch.observe(Event(id=f"e{minute}-{number}", ts=now + number * 500, gw="app", route="pay", status=status))
    assert watch.late == 0
    assert [(alert.kind, alert.gateway) for alert in told] == [("spike", "app")]
