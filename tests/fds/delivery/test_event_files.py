"""Events are kept as lines: what was written is read back, bounded, by its owner only, and whole after a crash."""

import stat
from pathlib import Path
from typing import IO

import pytest
from haetae_fds import Event, read_flat
from haetae_fds.io.event_files import EventFiles

NOON = 1_795_435_200_000  # 2026-11-23 12:00 UTC
DAY = 86_400_000


def event(number: int) -> Event:
    return Event(id=f"e{number}", ts=NOON + number, gw="app", ip="203.0.113.9", dev="d", dev_v=True, status=200)


def read(path: Path) -> list[Event]:
    return [read_flat(line) for line in path.read_bytes().splitlines()]


def test_events_are_read_back_as_they_were_and_by_nobody_else(tmp_path: Path) -> None:
    files = EventFiles(tmp_path / "kept", clock_ms=lambda: NOON)
    for number in range(3):
        files.write(event(number))
    files.close()
    (path,) = (tmp_path / "kept").iterdir()
    assert path.name == "events-2026-11-23.jsonl"
    assert read(path) == [event(number) for number in range(3)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("torn", [b'{"id":"e9","ts":17', b"x" * 3_000_000])
def test_line_that_a_crash_left_half_written_is_gone_and_the_next_one_whole(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "events-2026-11-23.jsonl"
    for number in range(2):
        files = EventFiles(tmp_path, clock_ms=lambda: NOON)
        files.write(event(number))
        files.close()
        path.write_bytes(path.read_bytes() + torn)
    files = EventFiles(tmp_path, clock_ms=lambda: NOON)
    files.write(event(2))
    files.close()
    assert read(path) == [event(0), event(1), event(2)]


def test_oldest_days_go_first_and_nothing_else_is_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    now = NOON
    files = EventFiles(tmp_path, clock_ms=lambda: now, days=3)
    for day in range(5):
        now = NOON + day * DAY
        files.write(event(day))
    files.close()
    days = [f"events-2026-11-2{day}.jsonl" for day in (5, 6, 7)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [*days, "notes.txt"]
    small = EventFiles(tmp_path, clock_ms=lambda: now, most_bytes=1)
    small.write(event(9))
    small.close()
    assert [path.name for path in sorted(tmp_path.iterdir())] == [days[-1], "notes.txt"]


def test_disk_that_takes_nothing_costs_the_worker_nothing_and_is_tried_again(tmp_path: Path) -> None:
    now = NOON
    files = EventFiles(tmp_path / "kept", clock_ms=lambda: now)
    (tmp_path / "kept").rmdir()
    for number in range(2):
        files.write(event(number))
    assert files.lost == 2
    (tmp_path / "kept").mkdir()
    files.write(event(2))
    now += 60_000
    files.write(event(3))
    files.close()
    assert (files.lost, read(tmp_path / "kept" / "events-2026-11-23.jsonl")) == (3, [event(3)])


def test_full_disk_is_no_fault_of_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path) -> IO[bytes]:
        return Path("/dev/full").open("r+b", buffering=64)

    monkeypatch.setattr("haetae_fds.io.event_files._opened", full)
    files = EventFiles(tmp_path, clock_ms=lambda: NOON)
    for number in range(20):
        files.write(event(number))
    files.close()
    assert files.lost >= 19
