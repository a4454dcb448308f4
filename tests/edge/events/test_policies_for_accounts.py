"""Policies for an account, or a secret, that somebody tries: the log-in's answer is withheld, whatever it says."""

import json
import time
from base64 import b64encode

import pytest
from haetae_edge.auth_report import AuthReport
from haetae_edge.errors import Refusal
from haetae_edge.exchange import Exchange, Response
from haetae_edge.filter import BuildContext
from haetae_edge.filters.block import Block
from haetae_edge.services import Services
from haetae_policy import Action, Api, Record, Subject

from tests.edge.gateway_files import exchange
from tests.simulator.policies import MemoryPolicies
from tests.simulator.upstream import ok
from tests.simulator.world import world

ACCOUNT, OTHER = b"a" * 8, b"b" * 8
THE_ACCOUNT = Subject(account=ACCOUNT.hex(), untrusted=True)
LOGIN = b"POST /login HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n"


def report(outcome: str, account: bytes = ACCOUNT) -> bytes:
    return f"Haetae-Auth: {outcome};account=:{b64encode(account).decode()}:".encode()


def services(action: Action = Action.BLOCK, subject: Subject = THE_ACCOUNT) -> Services:
    record = Record(
        pid=7,
        ver=1,
        exp_ms=int(time.time() * 1000) + 600_000,
        action=action,
        subject=subject,
        api=Api(),
    )
    return Services(clock=time.time, random_bytes=bytes, policies=MemoryPolicies(record))


async def test_stranger_who_guesses_learns_nothing_from_the_answer_even_when_the_guess_was_right() -> None:
    async with world(filters=(Block(),), services=services(), auth_events=True) as edge:
        answers = []
        for outcome in ("bad", "ok", "nouser"):
            edge.upstream.on("/login", ok(b"token " * 200_000 if outcome == "ok" else b"no", report(outcome)))
            answers.append(await edge.client.ask(LOGIN))
        finished = await edge.gateway.finished.until(3)
    assert [answer.status for answer in answers] == [403] * 3
    told = [{**json.loads(answer.body), "ref": None} for answer in answers]
    assert told[0] == told[1] == told[2]
    assert told[0]["code"] == "blocked"
    facts = [one.exchange.facts for one in finished if one.exchange is not None]
    assert [one.report.outcome for one in facts if one.report is not None] == ["bad", "ok", "nouser"]
    assert {one.policy_action for one in facts} == {"block"}


@pytest.mark.parametrize(
    ("account", "outcome", "marked", "action", "status"),
    [
        (ACCOUNT, "ok", True, Action.CHALLENGE, 401),
        (ACCOUNT, "mfa_fail", True, Action.CHALLENGE, 401),
        (ACCOUNT, "mfa_ok", True, Action.CHALLENGE, 200),
        (ACCOUNT, "mfa_ok", True, Action.BLOCK, 403),
        (ACCOUNT, "ok", True, Action.OBSERVE, 200),
        (OTHER, "ok", True, Action.BLOCK, 200),
        (ACCOUNT, "ok", False, Action.BLOCK, 200),
    ],
)
async def test_only_the_named_account_is_meant_and_a_second_factor_is_the_proof_that_a_challenge_asks_for(
    account: bytes, outcome: str, marked: bool, action: Action, status: int
) -> None:
    async with world(filters=(Block(),), services=services(action), auth_events=marked) as edge:
        edge.upstream.on("/login", ok(b"token", report(outcome, account)))
        answer = await edge.client.ask(LOGIN)
    assert answer.status == status


@pytest.mark.parametrize(("device", "refused"), [("d-1", False), (None, True)])
async def test_owner_on_his_own_device_signs_in_while_strangers_guess(device: str | None, refused: bool) -> None:
    async def send(asked: Exchange) -> Response:
        asked.facts.report = read
        return Response(status=200, fields=[], body=b"token")

    read = AuthReport("ok", ACCOUNT.hex())
    context = BuildContext(gateway="g", route_id="r", upstream="u", services=services(), auth_events=True)
    around = Block().build(context).around
    assert around is not None
    made = exchange("/login")
    made.caller.device = device
    if refused:
        with pytest.raises(Refusal, match="blocked"):
            await around(send)(made)
    else:
        assert (await around(send)(made)).body == b"token"


@pytest.mark.parametrize(("tried", "status"), [(b"s" * 8, 401), (b"t" * 8, 200), (None, 200)])
async def test_secret_that_is_tried_everywhere_opens_no_account_to_strangers(tried: bytes | None, status: int) -> None:
    secret = b"" if tried is None else b";secret=:" + b64encode(tried) + b":"
    everywhere = services(Action.CHALLENGE, Subject(pw_fp=(b"s" * 8).hex(), untrusted=True))
    async with world(filters=(Block(),), services=everywhere, auth_events=True) as edge:
        answers = []
        for outcome in ("bad", "ok"):
            edge.upstream.on("/login", ok(b"token", report(outcome) + secret))
            answers.append(await edge.client.ask(LOGIN))
    assert [answer.status for answer in answers] == [status] * 2


def test_route_that_reports_no_log_ins_has_nothing_around_it() -> None:
    context = BuildContext(gateway="g", route_id="r", upstream="u", services=services())
    assert Block().build(context).around is None
