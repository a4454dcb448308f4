"""The tour's own honesty: a step that does not come out as it must is a failure, never a pass."""

import io
import os
import time
from dataclasses import replace

import pytest
from haetae_cli.errors import NotRunning
from haetae_cli.state import RunningStack
from haetae_cli.terminal import Terminal, printable
from haetae_cli.tour import STEPS
from haetae_cli.tour.place import judge
from haetae_cli.visit import check, walk
from haetae_crypto.signing_keys import SigningKey
from haetae_demo.io.mobile import Answer

ROOT = SigningKey.from_seed(bytes(32)).public.to_dict()
NOWHERE = "http://127.0.0.1:1"
STACK = RunningStack(
    pid=os.getpid(),
    redis_url="redis://127.0.0.1:1/0",
    identity=NOWHERE,
    issuer=NOWHERE,
    bank=NOWHERE,
    root_key=ROOT,
    gateways={"app": NOWHERE},
)


def answer(status: int, body: bytes, kind: str = "application/problem+json") -> Answer:
    return Answer(status=status, headers=(("Content-Type", kind),), wire=body, body=body, encrypted=False)


def terminal() -> Terminal:
    return Terminal(stream=io.StringIO(), colour=False)


def printed(shown: Terminal) -> str:
    assert isinstance(shown.stream, io.StringIO)
    return shown.stream.getvalue()


@pytest.mark.parametrize(
    ("found", "passed"),
    [
        (answer(401, b'{"code":"replayed"}'), True),
        (answer(403, b'{"code":"replayed"}'), False),
        (answer(401, b'{"code":"signature-invalid"}'), False),
        (answer(401, b'{"code":"replayed"}', "application/json"), False),
        (answer(401, b"not json"), False),
        (answer(200, b"{}", "application/json"), False),
    ],
)
def test_refusal_counts_only_with_its_status_and_code(found: Answer, passed: bool) -> None:
    assert judge(found, status=401, code="replayed").passed is passed


def test_problem_where_none_is_expected_fails() -> None:
    assert not judge(answer(200, b'{"code":"odd"}'), status=200).passed
    assert judge(answer(200, b"{}", "application/json"), status=200).passed


async def test_tour_of_a_dead_gateway_fails_at_once_and_says_what_was_not_run() -> None:
    shown = terminal()
    began = time.monotonic()
    assert await check(STACK, shown) is False
    assert time.monotonic() - began < 20
    lines = printed(shown).splitlines()
    assert lines[1].startswith("  FAIL the gateway's keys")
    assert lines[-1] == f"0 of {len(STEPS)} steps passed, {len(STEPS) - 1} not run"
    assert await walk(STACK, terminal()) is False


async def test_stack_without_an_app_gateway_cannot_be_toured() -> None:
    with pytest.raises(NotRunning, match="config/app"):
        await check(replace(STACK, gateways={"web": NOWHERE}), terminal())


def test_colour_needs_a_terminal_and_no_wish_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, wish, expected in [(Tty(), "", True), (Tty(), "1", False), (io.StringIO(), "", False)]:
        monkeypatch.setattr("sys.stdout", stream)
        monkeypatch.setenv("NO_COLOR", wish)
        assert Terminal.standard().colour is expected


def test_table_aligns_wide_characters_and_text_from_elsewhere_cannot_steer_the_terminal() -> None:
    shown = terminal()
    shown.table([("해태", "a"), ("gate", printable("b\x1b[2J\u202ec"))], indent=0)
    first, second = printed(shown).splitlines()
    assert first == "해태  a"
    assert second == "gate  b\ufffd[2J\ufffdc"
    assert printable("x" * 50, most=10) == "x" * 10 + "…"
