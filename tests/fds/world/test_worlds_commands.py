"""The commands around simulated worlds: record, evaluate, score, show."""

import json
from pathlib import Path

import pytest
from haetae_cli.main import main


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recording")
    words = ["fds", "worlds", "stuffing_one_address", "--record", str(folder), "--shape", "small", "--seeds", "1"]
    assert main([*words, "--people", "80"]) == 0
    return folder / "stuffing_one_address-small-1.events"


def test_a_recording_is_evaluated_against_its_labels(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fds", "evaluate", str(recording), "--labels", str(recording.with_suffix(".labels"))]) == 0
    shown = capsys.readouterr().out
    assert "stuffing_one_address-1" in shown
    assert "everybody" in shown
    assert "decisions" in shown


def test_an_evaluation_as_json_says_everything(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fds", "evaluate", str(recording), "--labels", str(recording.with_suffix(".labels")), "--json"]
    assert main(words) == 0
    document = json.loads(capsys.readouterr().out)
    (attack,) = document["engine"]["attacks"]
    assert attack["requests"] > 100
    assert attack["before"] + attack["after"] < attack["requests"]
    assert document["addresses"]["attacks"][0]["first_refusal_ms"] is not None


@pytest.mark.parametrize("line", ["{", "[]", '{"id": 1}', " " * 20_000 + "x"])
def test_a_recording_without_a_single_event_is_one_clear_line(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events, labels = tmp_path / "e", tmp_path / "l"
    events.write_text(line + "\n")
    labels.write_text("")
    assert main(["fds", "evaluate", str(events), "--labels", str(labels)]) == 1
    assert capsys.readouterr().err == f"haetae fds: {events}: not one line is an event\n"


def test_lines_that_are_no_events_are_left_out_and_counted(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    bad = b'nonsense\n{"id": "x", "ts": 1795000000000, "ip": "999.1.1.1"}\n'
    broken.write_bytes(b"\xef\xbb\xbf" + recording.read_bytes() + bad)
    words = ["--labels", str(recording.with_suffix(".labels")), "--no-yardstick", "--json"]
    assert main(["fds", "evaluate", str(recording), *words]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert main(["fds", "evaluate", str(broken), *words]) == 0
    assert json.loads(capsys.readouterr().out) == {**whole, "refused": {"event": 1, "ip": 1}}
    assert main(["fds", "evaluate", str(broken), *words[:-1]]) == 0
    assert "2 lines were no events and are left out, by the field at fault: event 1, ip 1" in capsys.readouterr().out


def test_an_engine_that_learns_from_plain_traffic_first_is_not_evaluated_cold(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, truth = recording.read_bytes().splitlines(keepends=True), recording.with_suffix(".labels")
    plain, attack = tmp_path / "plain", tmp_path / "attack"
    hostile = {label["id"] for line in truth.read_text().splitlines() if (label := json.loads(line))["attack"]}
    begins = next(number for number, line in enumerate(lines) if json.loads(line)["id"] in hostile)
    plain.write_bytes(b"".join(lines[:begins]))
    attack.write_bytes(b"".join(lines[begins:]))
    words = ["fds", "evaluate", str(attack), "--labels", str(truth), "--no-yardstick", "--json"]
    before = []
    for more in ([], ["--train", str(plain)]):
        assert main([*words, *more]) == 0
        before.append(json.loads(capsys.readouterr().out)["engine"]["attacks"][0]["before"])
    assert before[1] < before[0]


def test_broken_labels_are_one_clear_line(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / "labels"
    labels.write_text('{"id": 5}\n')
    assert main(["fds", "evaluate", str(recording), "--labels", str(labels)]) == 1
    assert "labels, line 1: id" in capsys.readouterr().err


def test_worlds_prints_the_worst_of_its_seeds_beside_the_yardstick(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fds", "worlds", "plain", "stuffing_one_address", "--shape", "small", "--seeds", "2", "--people", "80"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "stopped in every world" in shown
    assert "(last plain hour)" in shown


def test_worlds_sums_up_all_attacks_in_two_lines_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fds", "worlds", "scanner", "decoy", "plain", "--shape", "small", "--seeds", "2", "--people", "80"]
    assert main([*words, "--no-yardstick"]) == 0
    shown = capsys.readouterr().out
    assert "mean of 2 attacks, worst of 2 worlds: score " in shown
    assert "first refusal, worst of 2 worlds: mean " in shown
    assert main([*words, "--no-yardstick", "--json"]) == 0
    *cases, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [one["case"] for one in cases] == ["scanner", "decoy", "plain"]
    found, attacks = last["summary"], [[r["attacks"][0] for r in one["reports"]] for one in cases[:2]]
    means = [sum(attack[seed]["before"] for attack in attacks) / 2 for seed in range(2)]
    assert (found["attacks"], found["worlds"], found["never"]) == (2, 2, 0)
    assert found["before"] == max(means)
    firsts = [[attack[seed]["first_refusal_ms"] for attack in attacks] for seed in range(2)]
    assert found["mean_first_ms"] == max(sum(one) / 2 for one in firsts)


def test_worlds_refuses_a_case_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fds", "worlds", "no_such_case"]) == 1
    assert "no such case: no_such_case" in capsys.readouterr().err


def test_the_show_runs_an_attack_and_says_that_no_gateway_is_involved(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "attack", "stuffing", "--simulated", "--speed", "0", "--people", "100"]) == 0
    shown = capsys.readouterr().out
    assert "no gateway is involved" in shown
    assert "first refused after" in shown
    assert "damage" in shown


def test_the_show_refuses_an_attack_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "attack", "nonsense", "--simulated"]) == 1
    assert "no such attack" in capsys.readouterr().err
