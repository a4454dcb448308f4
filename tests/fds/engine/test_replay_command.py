"""``haetae fds replay`` as a process: recordings and conversation."""

import json
import os
import subprocess
import sys
from pathlib import Path

EVENTS = [
    {"id": f"e{n}", "ts": 1_700_000_000_000 + n * 1000, "gw": "app", "route": "login", "api": "POST /login",
     "ip": "203.0.113.9", "acct": f"a{n}", "cred_fp": f"c{n}", "auth": "bad", "status": 401}
    for n in range(20)
]  # fmt: skip


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "haetae_cli.main", "fds", "replay", *words]


def test_recording_gives_decisions_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(json.dumps(event) for event in EVENTS) + "\nnonsense\n")
    done = subprocess.run(command(str(file)), capture_output=True, text=True, check=True, timeout=30)
    (one,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert one["subject"] == {"ip": "203.0.113.9"}
    assert json.loads(done.stderr)["refused"] == {"event": 1}


def test_recording_of_another_system_loses_no_line(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(json.dumps(event).encode() for event in EVENTS))
    done = subprocess.run(command(str(file)), capture_output=True, text=True, check=True, timeout=30)
    told = json.loads(done.stderr)
    assert (told["events"]["used"], told["refused"]) == (len(EVENTS), {})
    assert len(done.stdout.splitlines()) == 1


def test_reader_that_has_gone_is_not_the_recordings_fault(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(json.dumps(event) for event in EVENTS))
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(command(str(file)), stdout=write_end, stderr=subprocess.PIPE, check=False, timeout=30)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, b"")


def test_each_event_is_answered_before_the_next_is_given(tmp_path: Path) -> None:
    harmless = tmp_path / "harmless.jsonl"
    harmless.write_text(json.dumps({**EVENTS[0], "id": "h", "auth": None, "acct": None}) + "\n")
    with subprocess.Popen(
        command(str(harmless), "--train", "--interactive"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers = []
        for event in [*EVENTS[:10], "nonsense"]:
            process.stdin.write(json.dumps(event) + "\n")
            process.stdin.flush()
            while (answer := json.loads(process.stdout.readline())) != {"ready": True}:
                answers.append(answer)
        process.stdin.close()
        assert process.wait(20) == 0
    assert [answer["detector"] for answer in answers] == ["stuffing_from_address"]


def test_plain_traffic_is_learned_from_before_a_recording_in_whatever_order_they_are_named(tmp_path: Path) -> None:
    plain, file = tmp_path / "plain.jsonl", tmp_path / "events.jsonl"
    plain.write_text(json.dumps({**EVENTS[0], "id": "h", "ts": EVENTS[0]["ts"], "auth": None, "acct": None}) + "\n")
    file.write_text("\n".join(json.dumps(event) for event in EVENTS))
    seen = []
    for words in ([file], [file, "--train"], ["--train", file], ["--train", plain, file], [file, "--train", plain]):
        done = subprocess.run(
            command(*map(str, words)), capture_output=True, text=True, check=True, timeout=30, stdin=subprocess.DEVNULL
        )
        made = [json.loads(line) for line in done.stdout.splitlines()]
        seen.append([(one["detector"], len(one["events"])) for one in made])
    cold, alone, also_alone, first, last = seen
    assert alone == also_alone == []
    assert first == last == [("stuffing_from_address", 8)]
    assert cold == [("stuffing_from_address", 16)], "limits are doubled where nothing was learnt"


def test_conversation_that_only_trains_decides_nothing() -> None:
    lines = "".join(json.dumps(event) + "\n" for event in EVENTS)
    done = subprocess.run(
        command("--train", "--interactive"), input=lines, capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == '{"ready": true}\n' * len(EVENTS)
    assert json.loads(done.stderr)["events"]["used"] == len(EVENTS)


def test_empty_and_broken_lines_are_answered_too() -> None:
    lines = "\n".join(["", "nonsense", "  ", json.dumps(EVENTS[0])]) + "\n"
    done = subprocess.run(command("--interactive"), input=lines, capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == '{"ready": true}\n' * 4
    assert json.loads(done.stderr)["refused"] == {"event": 1}


def test_closed_standard_streams_are_told_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("")
    for words, closed, sentence in (
        ([str(file)], ">&-", "standard output is closed"),
        (["-"], "<&-", "standard input is closed"),
        (["--interactive"], "<&-", "standard input is closed"),
    ):
        shell = ["sh", "-c", f'"$@" {closed}', "sh", *command(*words)]
        done = subprocess.run(shell, capture_output=True, text=True, check=False, timeout=30)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.strip().endswith(sentence)
        assert "Traceback" not in done.stderr
