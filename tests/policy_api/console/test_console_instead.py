"""A policy gives way to a narrower, wider or milder one, and nobody whom it keeps out is let in on the way."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.policy_api.console.desk import Console, evidence, now_ms, policies_in_force, requests

WIDE: dict[str, Any] = {
    "subject": {"ip": "203.0.113.0/28", "untrusted": True},
    "api": {"route": "sign-in", "method": "POST"},
}


class Fields(HTMLParser):
    """What a browser would send back of the form as it came."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        if tag == "select":
            self._select = held["name"]
        elif tag == "option" and "selected" in held:
            self.found[self._select] = held["value"]
        elif tag == "input" and "name" in held and (held.get("type") != "checkbox" or "checked" in held):
            self.found[held["name"]] = held.get("value", "")


async def form_of(desk: Console, who: str, policy_id: str) -> dict[str, Any]:
    reader = Fields()
    reader.feed((await desk.get(who, f"/new?instead={policy_id}")).text)
    return {name: value for name, value in reader.found.items() if name != "token"}


async def test_block_of_a_detector_becomes_a_challenge_of_one_address_and_ends_after_it(
    desk: Console,
) -> None:
    old = (await desk.policy(machine=True, evidence=evidence(), **WIDE))["policy"]
    assert f"/new?instead={old['id']}" in (await desk.get("ana", f"/policies/{old['id']}")).text
    form = await form_of(desk, "ana", old["id"])
    assert {name: form[name] for name in ("ip", "untrusted", "route", "method", "action", "lasts_s")} == {
        "ip": "203.0.113.0/28", "untrusted": "1", "route": "sign-in", "method": "POST", "action": "block",
        "lasts_s": "3600",
    }  # fmt: skip
    sent = form | {"ip": "203.0.113.7", "action": "challenge", "reason": "the others are a school"}
    made = await desk.post("ana", "/new", sent)
    assert made.status_code == 303
    (new,) = await policies_in_force(desk)
    assert (new["action"], new["subject"]) == ("challenge", {"ip": "203.0.113.7", "untrusted": True})
    assert (new["source"]["kind"], new["source"]["name"]) == ("analyst", "ana")
    ended = await desk.context.store.ended(old["id"])
    assert (ended.how, ended.by) == ("revoked", "ana")
    entries = (await desk.get("app", "/v1/audit")).json()["entries"]
    acts = [entry["action"] for entry in entries if entry["target"] in (old["id"], new["id"])]
    assert acts == ["revoke", "create", "create"], "newest first: the new one is there before the old one goes"
    (told, *_) = [entry for entry in entries if entry["target"] == old["id"]]
    assert told["details"]["reason"] == "the others are a school"


async def test_what_waits_for_a_second_person_ends_nothing(desk: Console) -> None:
    old = (await desk.policy(**WIDE))["policy"]
    form = await form_of(desk, "ana", old["id"])
    made = await desk.post("ana", "/new", form | {"ip": "203.0.0.0/8", "reason": "all of it"})
    assert made.status_code == 303
    assert [policy["id"] for policy in await policies_in_force(desk)] == [old["id"]]
    assert "203.0.0.0/8" in (await desk.get("ana", "/pending")).text


async def test_policy_that_has_changed_meanwhile_stays_and_the_page_says_so(desk: Console) -> None:
    old = (await desk.policy(**WIDE))["policy"]
    form = await form_of(desk, "ana", old["id"])
    expires_ms = now_ms() // 1000 * 1000 + 7_200_000
    await desk.context.store.extend(
        old["id"], version=1, expires_ms=expires_ms, now_ms=now_ms(), epoch_randomness=b"12345678"
    )
    answer = await desk.post("ana", "/new", form | {"ip": "203.0.113.7", "reason": "narrower"})
    assert answer.status_code == 200
    assert "0 of 1" in answer.text
    assert len(await policies_in_force(desk)) == 2


@pytest.mark.parametrize("version", ["", "x", "1" * 10])
async def test_nothing_is_made_when_the_form_does_not_say_which_version_it_showed(desk: Console, version: str) -> None:
    old = (await desk.policy(**WIDE))["policy"]
    form = await form_of(desk, "ana", old["id"])
    answer = await desk.post("ana", "/new", form | {"instead_version": version, "reason": "narrower"})
    assert answer.status_code == 422
    assert [policy["id"] for policy in await policies_in_force(desk)] == [old["id"]]


async def test_incomplete_form_still_knows_what_it_stands_in_for(desk: Console) -> None:
    old = (await desk.policy(**WIDE))["policy"]
    form = await form_of(desk, "ana", old["id"])
    answer = await desk.post("ana", "/new", form | {"ip": "nowhere", "reason": "narrower"})
    assert answer.status_code == 422
    reader = Fields()
    reader.feed(answer.text)
    assert (reader.found["instead"], reader.found["instead_version"]) == (old["id"], "1")


async def test_preview_compares_with_whom_the_old_one_would_have_hit(desk: Console) -> None:
    desk.ring.add(requests(30, user="u-7", user_v=True, ip="203.0.113.7", net="203.0.113.0/24", route="sign-in"))
    desk.ring.add(requests(10, user="u-8", user_v=True, ip="203.0.113.8", net="203.0.113.0/24", route="sign-in"))
    old = (await desk.policy(subject={"ip": "203.0.113.0/28"}, lasts_s=3600))["policy"]
    form = await form_of(desk, "ana", old["id"])
    shown = (await desk.post("ana", "/new/preview", form | {"ip": "203.0.113.8"})).text
    assert "<strong>10</strong>" in shown
    assert "would have hit 40 of them, 2 users" in re.sub(r"\s+", " ", shown)


async def test_policy_that_is_gone_is_not_found_and_viewers_are_not_offered_it(desk: Console) -> None:
    old = (await desk.policy(**WIDE))["policy"]
    assert "/new?instead=" not in (await desk.get("vic", f"/policies/{old['id']}")).text
    await desk.post("adm", "/policies/end", {"id": f"{old['id']}@1", "reason": "over"})
    assert (await desk.get("ana", f"/new?instead={old['id']}")).status_code == 404
    assert (await desk.get("ana", "/new?instead=%3Cscript%3E")).status_code in (404, 422)
