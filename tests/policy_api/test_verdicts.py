"""What people say to the fraud detection through the API: verdicts, the switch, undoing the last minutes."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from haetae_fds.io.feedback import Labels
from haetae_policy.io.commands import Commands
from haetae_policy_api.errors import NotSignedIn
from haetae_policy_api.io.app import make_app
from haetae_policy_api.io.feed import Feed
from haetae_policy_api.roles import JUDGE, WRITE, Caller, Role
from haetae_policy_api.settings import Settings
from haetae_policy_api.traffic import TrafficRing
from redis.asyncio import Redis

from tests.policy_api.test_policy_endpoints import make_context

CALLERS = {
    "ana": Caller(name="ana", role=Role.ANALYST),
    "lead": Caller(name="lee", role=Role.APPROVER),
    "fds": Caller(name="stuffing", scopes=frozenset({WRITE})),
    "desk": Caller(name="support-desk", scopes=frozenset({JUDGE})),
}


async def by_name(headers: list[tuple[str, str]], /) -> Caller:
    named = dict(headers).get("x-caller")
    if named is None:
        raise NotSignedIn("nobody")
    return CALLERS[named]


class Api:
    """The service over a real store."""

    def __init__(self, http: httpx.AsyncClient, client: Redis) -> None:
        self.http, self.client = http, client

    async def send(self, who: str, path: str, document: dict[str, Any]) -> httpx.Response:
        return await self.post(who, f"/v1/policies{path}", document)

    async def post(self, who: str, path: str, document: dict[str, Any]) -> httpx.Response:
        return await self.http.post(path, json=document, headers={"x-caller": who})

    async def decided(self, user: str, *, who: str = "fds", campaign: str = "stuffing-7") -> str:
        evidence = {"decision": f"fds_{user}", "subject": {"user": user}, "campaign": campaign}
        policy = {"subject": {"user": user}, "action": "block", "reason": "r", "lasts_s": 600, "evidence": evidence}
        return str((await self.send(who, "", policy)).json()["policy"]["id"])

    async def in_force(self) -> set[str]:
        listed = await self.http.get("/v1/policies", headers={"x-caller": "ana"})
        return {policy["id"] for policy in listed.json()["policies"]}

    async def labels(self) -> list[tuple[str, str, str]]:
        read = await Labels(Commands(self.client, deadline_s=5.0), prefix="t:").after("0")
        return [(label.word.value, label.by, label.decision) for _, label in read if label is not None]


@pytest.fixture
async def api(client: Redis) -> AsyncIterator[Api]:
    context = make_context(client, TrafficRing(most=100, span_ms=900_000), Settings(prefix="t:"))
    app = make_app(context, identify=by_name, feed=Feed(client, prefix="t:", deadline_s=2.0))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as http:
        yield Api(http, client)


async def test_false_alarm_ends_its_policy_and_names_others_of_the_same_cause(api: Api) -> None:
    one, other, apart = [await api.decided("u-1"), await api.decided("u-2"), await api.decided("u-3", campaign="x")]
    said = await api.send("ana", f"/{one}/verdict", {"word": "false-alarm"})
    assert said.json() == {"id": one, "word": "false-alarm", "revoked": [one], "same_cause": [other]}
    assert await api.in_force() == {other, apart}
    assert await api.labels() == [("false-alarm", "ana", "fds_u-1")]
    again = await api.send("ana", f"/{one}/verdict", {"word": "false-alarm"})
    assert again.json()["revoked"] == []


async def test_false_alarm_said_of_a_cause_ends_and_labels_all_of_it(api: Api) -> None:
    one, other, apart = [await api.decided("u-1"), await api.decided("u-2"), await api.decided("u-3", campaign="x")]
    said = await api.send("ana", f"/{one}/verdict", {"word": "false-alarm", "same_cause": True})
    assert said.json() == {"id": one, "word": "false-alarm", "revoked": [one, other], "same_cause": []}
    assert await api.in_force() == {apart}
    assert [decision for _, _, decision in await api.labels()] == ["fds_u-1", "fds_u-2"]


async def test_confirmation_ends_nothing(api: Api) -> None:
    one = await api.decided("u-1")
    assert (await api.send("ana", f"/{one}/verdict", {"word": "confirm"})).json()["revoked"] == []
    assert await api.in_force() == {one}
    assert await api.labels() == [("confirm", "ana", "fds_u-1")]


async def test_support_desk_says_what_its_ticket_said_and_detectors_judge_nobody(api: Api) -> None:
    one = await api.decided("u-1")
    assert (await api.send("fds", f"/{one}/verdict", {"word": "false-alarm"})).status_code == 403
    assert (await api.send("desk", f"/{one}/verdict", {"word": "false-alarm"})).json()["revoked"] == [one]
    assert await api.labels() == [("false-alarm", "support-desk", "fds_u-1")]


@pytest.mark.parametrize("word", ["maybe", "", None])
async def test_word_that_is_no_verdict_is_refused(api: Api, word: object) -> None:
    one = await api.decided("u-1")
    assert (await api.send("ana", f"/{one}/verdict", {"word": word})).status_code == 422
    assert await api.labels() == []


async def test_what_a_person_made_cannot_be_judged(api: Api) -> None:
    mine = await api.decided("u-1", who="ana")
    answer = await api.send("ana", f"/{mine}/verdict", {"word": "false-alarm"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "judged_person")
    assert await api.in_force() == {mine}


async def test_switch_ends_what_machines_did_and_says_what_is_set(api: Api) -> None:
    one, mine = await api.decided("u-1"), await api.decided("u-2", who="ana")
    turned = await api.post("lead", "/v1/detection/mode", {"mode": "shadow"})
    assert turned.json() == {"detector": None, "mode": "shadow", "ended": 1, "policies": [one]}
    assert await api.in_force() == {mine}
    assert (await api.post("lead", "/v1/detection/mode", {"mode": "off", "detector": "scanner"})).json()["ended"] == 0
    shown = await api.http.get("/v1/detection", headers={"x-caller": "ana"})
    assert shown.json() == {"mode": "shadow", "detectors": {"scanner": "off"}, "judged": {}}


async def test_detectors_show_how_people_judged_them_and_whether_they_agree(api: Api) -> None:
    ids = [await api.decided(f"u-{number}", campaign=f"c-{number}") for number in range(4)]
    said = [(0, "ana", "confirm"), (0, "lead", "confirm"), (1, "ana", "confirm"), (1, "lead", "false-alarm")]
    for number, who, word in [*said, (2, "ana", "false-alarm"), (2, "ana", "confirm"), (3, "desk", "false-alarm")]:
        await api.send(who, f"/{ids[number]}/verdict", {"word": word})
    shown = (await api.http.get("/v1/detection", headers={"x-caller": "ana"})).json()
    judged = {"confirmed": 2, "false_alarms": 2, "twice": 2, "agreed": 1, "precision": 0.5}
    assert shown["judged"] == {"stuffing": judged}


async def test_last_minutes_are_undone_for_one_detector_or_for_all(api: Api) -> None:
    one = await api.decided("u-1")
    other = await api.post("lead", "/v1/detection/undo", {"minutes": 5, "detector": "scanner"})
    assert (other.json()["ended"], await api.in_force()) == (0, {one})
    undone = await api.post("lead", "/v1/detection/undo", {"minutes": 5})
    assert (undone.json(), await api.in_force()) == ({"ended": 1, "policies": [one]}, set())


async def test_switch_of_a_detector_that_there_is_not_is_refused(api: Api) -> None:
    answer = await api.post("lead", "/v1/detection/mode", {"mode": "off", "detector": "no_such"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "detector_unknown")
