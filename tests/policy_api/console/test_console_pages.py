"""What people do in the console, page by page, over the real service and store."""

import html
import re
from html.parser import HTMLParser
from typing import Any

import orjson
import pytest
from haetae_policy.io.keys import Keys
from haetae_policy_api.service import listing
from redis.asyncio import Redis

from tests.policy_api.console.desk import (
    ORIGIN,
    Console,
    decision,
    evidence,
    furnish,
    now_ms,
    passport,
    policies_in_force,
    requests,
)

NEW = {"user": "u-7", "action": "block", "reason": "customer called", "lasts_s": "600"}
HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(2)>'{{7*7}}"""


class Reader(HTMLParser):
    """Finds what could run: scripts that are not files, handlers, styles and addresses of other places."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        if tag in ("iframe", "object", "embed", "base", "style") or (tag == "script" and "src" not in held):
            self.found.append(tag)
        for name, value in attrs:
            place = name in ("href", "src", "action") and not (value or "").startswith(("/", "#"))
            if name.startswith("on") or name == "style" or place:
                self.found.append(f"{tag} {name}={value}")


def active(page: str) -> list[str]:
    reader = Reader()
    reader.feed(page)
    return reader.found


async def test_analyst_blocks_a_user_and_sees_it_take_hold_worker_by_worker(desk: Console) -> None:
    made = await desk.post("ana", "/new", NEW)
    assert made.status_code == 303
    [policy] = await policies_in_force(desk)
    where = made.headers["location"]
    seq = int(re.search(r"seq=(\d+)", where)[1])  # type: ignore[index]
    assert where.startswith(f"/policies/{policy['id']}?")
    await desk.worker("edge-1", seq)
    await desk.worker("edge-2", seq - 1)
    page = (await desk.get("ana", where)).text
    assert "In force on 1 of 2 workers" in page
    assert "customer called" in page
    assert f"/hold/{seq}?since=" in page
    await desk.worker("edge-2", seq)
    page = (await desk.get("ana", where)).text
    assert "In force on all 2 workers." in page
    assert "sse-connect" not in page


async def test_incomplete_form_comes_back_filled_in_with_what_is_wrong(desk: Console) -> None:
    answer = await desk.post("ana", "/new", {**NEW, "ip": "not an address", "reason": ""})
    assert answer.status_code == 422
    assert 'value="not an address"' in answer.text
    assert 'value="u-7"' in answer.text
    assert "<strong>IP address or network</strong>" in answer.text or "Not valid" in answer.text
    assert await policies_in_force(desk) == []


async def test_preview_tells_whom_it_would_hit_and_stores_nothing(desk: Console) -> None:
    desk.ring.add(requests(30, user="u-7", user_v=True))
    desk.ring.add(requests(170, user="u-8", user_v=True))
    shown = (await desk.post("ana", "/new/preview", {**NEW, "reason": ""})).text
    assert "<strong>30</strong>" in shown
    assert "of 200 requests" in shown
    assert "15 %" in shown
    assert "Will wait for a second person." in shown
    narrow = (await desk.post("ana", "/new/preview", {**NEW, "user": "u-9"})).text
    assert "<strong>0</strong>" in narrow
    assert "Will wait" not in narrow
    assert await policies_in_force(desk) == []


async def test_preview_of_what_is_no_policy_yet_names_the_fields(desk: Console) -> None:
    shown = await desk.post("ana", "/new/preview", {"user": "", "lasts_s": "x"})
    assert shown.status_code == 200
    assert "Not a policy yet" in shown.text
    assert "For how long" in shown.text
    shown = await desk.post("ana", "/new/preview", {"ip": "999.1.1.1", "lasts_s": "600"})
    assert shown.status_code == 200
    assert "Not a policy yet" in shown.text


async def test_second_person_approves_and_the_first_cannot(desk: Console) -> None:
    asked = await desk.post("app", "/new", {**NEW, "user": "", "route": "transfer", "reason": "incident"})
    assert asked.status_code == 303
    policy_id = asked.headers["location"].rpartition("/")[2]
    assert await policies_in_force(desk) == []
    page = (await desk.get("app", "/pending")).text
    assert "another person has to approve" in page
    assert f"/pending/{policy_id}/approve" not in page
    refused = await desk.post("app", f"/pending/{policy_id}/approve", {})
    assert refused.status_code == 403
    approved = await desk.post("adm", f"/pending/{policy_id}/approve", {})
    assert approved.status_code == 303
    [policy] = await policies_in_force(desk)
    assert (policy["id"], policy["approved_by"]) == (policy_id, "adm")
    again = await desk.post("adm", f"/pending/{policy_id}/approve", {})
    assert again.status_code == 404


async def test_second_person_rejects_with_a_reason_that_the_audit_trail_keeps(desk: Console) -> None:
    asked = await desk.policy(subject={}, api={"route": "transfer"}, reason="incident")
    policy_id = asked["policy"]["id"]
    assert (await desk.post("app", f"/pending/{policy_id}/reject", {})).status_code == 422
    assert (await desk.post("app", f"/pending/{policy_id}/reject", {"reason": "too wide"})).status_code == 303
    assert "Nothing waits." in (await desk.get("app", "/pending")).text
    assert "too wide" in (await desk.get("app", "/audit")).text


async def test_several_are_taken_back_at_once_after_saying_what_will_happen(desk: Console) -> None:
    ids = [(await desk.policy(subject={"user": f"u-{n}"}))["policy"]["id"] for n in range(3)]
    shown = (await desk.get("ana", f"/policies/end?id={ids[0]}&id={ids[1]}")).text
    assert "These 2 policies end at once on every worker" in shown
    assert f'value="{ids[0]}@1"' in shown
    done = await desk.post("ana", "/policies/end", {"id": [f"{ids[0]}@1", f"{ids[1]}@1"], "reason": "over"})
    assert done.status_code == 200
    assert "2 of 2 were taken back." in done.text
    assert [policy["id"] for policy in await policies_in_force(desk)] == [ids[2]]
    ended = (await desk.get("ana", f"/policies/{ids[0]}")).text
    assert "taken back" in ended
    assert "/extend" not in ended


async def test_policy_that_changed_meanwhile_stays_and_the_others_go(desk: Console) -> None:
    first, second = [(await desk.policy(subject={"user": f"u-{n}"}))["policy"]["id"] for n in range(2)]
    longer = await desk.post("ana", f"/policies/{first}/extend", {"version": "1", "lasts_s": "86400"})
    assert longer.status_code == 303
    done = await desk.post("ana", "/policies/end", {"id": [f"{first}@1", f"{second}@1"], "reason": "over"})
    assert "1 of 2 were taken back." in done.text
    assert "the policy is at version 2" in done.text
    assert [policy["id"] for policy in await policies_in_force(desk)] == [first]


@pytest.mark.parametrize("ids", [[], ["nonsense@1"], ["pol_01ARZ3NDEKTSV4RRFFQ69G5FAV"], ["x@1"] * 2 + ["y@-1"]])
async def test_nothing_sensible_chosen_is_told_and_nothing_ends(desk: Console, ids: list[str]) -> None:
    await desk.policy()
    done = await desk.post("ana", "/policies/end", {"id": ids, "reason": "over"})
    assert done.status_code == 422
    assert len(await policies_in_force(desk)) == 1


async def test_exception_for_one_user_of_a_blocked_network(desk: Console) -> None:
    held = await desk.policy(subject={"ip": "203.0.113.0/24"})
    where = f"/policies/{held['policy']['id']}/except"
    assert (await desk.post("ana", where, {"user": "u-7", "reason": "branch", "lasts_s": "3600"})).status_code == 303
    allowed = next(policy for policy in await policies_in_force(desk) if policy["action"] == "allow")
    assert allowed["subject"] == {"ip": "203.0.113.0/24", "user": "u-7"}


async def test_filters_narrow_the_table_and_stay_in_the_form(desk: Console) -> None:
    await furnish(desk)
    page = (await desk.get("vic", "/policies?action=throttle&user=")).text
    assert "Too many transfers" in page
    assert "Scanner network" not in page
    assert '<option value="throttle" selected>' in page
    assert "in force on 3 of 4 workers" in page
    assert "No policy fits." in (await desk.get("vic", "/policies?ticket=none")).text


async def test_search_finds_users_addresses_traces_references_and_policies(desk: Console) -> None:
    ids = await furnish(desk)
    user = (await desk.get("vic", "/search?q=u-1029")).text
    assert "Credential stuffing from a leaked list" in user
    assert "× 140" in user
    assert "HT-000000-TEST" in user
    assert "Scanner network" in (await desk.get("vic", "/search?q=203.0.113.7")).text
    trace = (await desk.get("vic", "/search?q=4BF92F3577B34DA6A3CE929D0E0E4736")).text
    assert "HT-000007-TEST" in trace
    assert "× 140" in trace
    reference = (await desk.get("vic", "/search?q=HT-000014-TEST")).text
    assert ids["block"] in reference
    assert (await desk.get("vic", f"/search?q={ids['block']}")).headers["location"] == f"/policies/{ids['block']}"
    assert "Nothing is known under" in (await desk.get("vic", "/search?q=nobody-ever")).text
    assert (await desk.get("vic", "/search?q=x&kind=password")).status_code == 422


async def test_timeline_of_a_batch_leads_to_its_policies_and_not_to_a_page_there_is_not(desk: Console) -> None:
    wanted = {"action": "block", "reason": "campaign", "lasts_s": 600, "subject": {"user": "u-5"}}
    headers = {"x-passport": passport("ana"), "origin": ORIGIN}
    made = await desk.http.post("/v1/policies/batch", json={"policies": [wanted]}, headers=headers)
    assert made.status_code == 201
    page = (await desk.get("ana", "/search?kind=user&q=u-5")).text
    assert "bat_" in page
    for path in re.findall(r'href="(/policies/[^"]+)"', page):
        assert (await desk.get("ana", path)).status_code == 200, path


async def test_list_says_when_only_the_newest_were_looked_at(desk: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_LOOKED_AT", 2)
    monkeypatch.setattr(listing, "_PAGE", 2)
    for number in range(3):
        await desk.policy(subject={"user": f"u-{number}"})
    for path in ("/cases", "/policies?user=nobody"):
        page = (await desk.get("ana", path)).text
        assert "older ones may fit" in page, path
        assert 'rel="next"' in page or "Older" in page


async def test_overview_counts_refusals_workers_and_what_wants_attention(desk: Console) -> None:
    ids = await furnish(desk)
    page = (await desk.get("vic", "/")).text
    assert "<strong>60</strong>" in page
    assert "1 policy waits for a second person." in page
    assert "edge-2:3978" in page
    assert "1 change behind" in page
    assert ids["block"] not in page
    assert page.count("<rect x=") == 60


async def test_overview_tells_of_a_spike_in_its_own_words(desk: Console) -> None:
    spike = {"at": now_ms(), "kind": "spike", "episode": "app/5xx/1", "gateway": "app", "text": "5xx rise at <app>"}
    await desk.client.xadd("t:fds:alerts", {"d": orjson.dumps(spike)})
    assert "Requests: 5xx rise at &lt;app&gt;" in (await desk.get("vic", "/")).text


async def test_overview_of_an_empty_store_says_so(desk: Console) -> None:
    page = (await desk.get("vic", "/")).text
    assert "No gateway worker has reported" in page
    assert "No refusals yet." in page


async def test_audit_trail_is_shown_and_verified_and_tampering_is_told(desk: Console) -> None:
    await furnish(desk)
    page = (await desk.get("app", "/audit")).text
    assert "asked for" in page
    whole = (await desk.get("app", "/audit/verify", hx_request="true")).text
    assert "The trail is whole: 6 entries" in whole
    assert "<html" not in whole
    assert "<html" in (await desk.get("app", "/audit/verify")).text
    entries: Any = await desk.client.xrange(Keys("t:").audit, count=1)
    await desk.client.xdel(Keys("t:").audit, entries[0][0])
    broken = await desk.get("app", "/audit/verify", hx_request="true")
    assert broken.status_code == 409
    assert 'id="problem"' in broken.text


async def test_language_is_the_persons_own_and_kept(desk: Console) -> None:
    assert '<html lang="ko">' in (await desk.get("vic", "/", accept_language="ko-KR")).text
    chosen = await desk.get("vic", "/policies?lang=ko&action=block")
    assert "시행 중" in chosen.text or "정책" in chosen.text
    assert "haetae-console-language=ko" in chosen.headers["set-cookie"]
    assert 'href="/policies?action=block&amp;lang=en"' in chosen.text
    kept = await desk.http.get("/", headers={"x-passport": passport("vic"), "cookie": "haetae-console-language=ko"})
    assert '<html lang="ko">' in kept.text


async def test_whatever_is_not_there_or_makes_no_sense_is_a_page_that_says_so(desk: Console) -> None:
    missing = "pol_01ARZ3NDEKTSV4RRFFQ69G5FAV"
    for path, status in (
        (f"/policies/{missing}", 404),
        ("/policies/nonsense", 422),
        ("/audit?before=-1", 422),
        ("/policies?after=nonsense", 422),
        (f"/policies/end?id={missing}", 404),
        ("/policies/end", 422),
    ):
        answer = await desk.get("adm", path)
        assert answer.status_code == status, path
        assert "<h1>" in answer.text


@pytest.mark.parametrize(
    "body", [b"token=%zz", b"a=1&a=2", b"\xff\xfe", b"x" * 70_000, b"&".join(b"f%d=1" % n for n in range(400))]
)
async def test_form_that_cannot_be_read_is_refused(desk: Console, body: bytes) -> None:
    headers = {"x-passport": passport("ana"), "origin": "http://console.test"}
    headers["content-type"] = "application/x-www-form-urlencoded"
    answer = await desk.http.post("/new", content=body, headers=headers)
    assert answer.status_code in (400, 403, 413)


async def test_text_of_others_is_shown_as_text_on_every_page(desk: Console) -> None:
    short = HOSTILE.replace(" ", "")[:60]
    held = await desk.policy(subject={"user": HOSTILE}, reason=HOSTILE, ticket="t")
    case = await desk.policy(
        machine=True,
        subject={"device": short},
        reason=HOSTILE,
        evidence=evidence(numbers={HOSTILE: [1, 2]}, campaign=HOSTILE),
    )
    over = await desk.policy(machine=True, subject={"client": short}, reason=HOSTILE, evidence=evidence(a=HOSTILE))
    await desk.post("adm", "/policies/end", {"id": f"{over['policy']['id']}@1", "reason": HOSTILE})
    wide = await desk.policy(subject={}, api={"route": "transfer"}, reason=HOSTILE)
    reference = await desk.refusal(held["policy"]["id"], user=HOSTILE, path=HOSTILE, method=HOSTILE, trace=HOSTILE)
    await desk.worker(HOSTILE[:60], 1)
    await desk.client.xadd("t:fds:{0}:decisions", {"n": "1", "d": decision(why=HOSTILE, detector=HOSTILE)})
    desk.ring.add(requests(5, user=HOSTILE, user_v=True, api=f"GET {HOSTILE}", trace=HOSTILE))
    paths = ["/", "/policies", "/cases", "/pending", "/audit", f"/search?q={reference}", "/new?user=%3Cscript%3E%22%3E"]
    paths += [f"/policies/{made['policy']['id']}" for made in (held, case, over, wide)]
    paths += ["/cases?state=ended", f"/search?q={HOSTILE}&kind={HOSTILE}", f"/cases?state={HOSTILE}&before={HOSTILE}"]
    paths += [f"/policies/end?id={held['policy']['id']}", f"/search?kind=user&q={html.escape('<script>alert(1)')}"]
    paths += ["/search?kind=user&q=" + "".join(f"%{byte:02x}" for byte in HOSTILE.encode())]
    for path in paths:
        for language in ("en", "ko"):
            page = (await desk.get("adm", path, accept_language=language)).text
            assert active(page) == [], path
            assert "60481729" not in page, path
    wrong = dict.fromkeys(("ip", "gateway", "route", "method", "path", "action", "ticket"), HOSTILE)
    for path in ("/new", "/new/preview"):
        for language in ("en", "ko"):
            answer = await desk.post("ana", path, {**NEW, **wrong}, accept_language=language)
            assert active(answer.text) == [], path
    shown = (await desk.post("ana", "/new/preview", {**NEW, "user": HOSTILE})).text
    assert active(shown) == []
    assert html.escape(HOSTILE, quote=True).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in shown


async def test_page_tokens_hold_across_processes_of_the_service(desk: Console, client: Redis) -> None:
    first = await desk.token("ana")
    kept = await client.get("t:console:key")
    assert isinstance(kept, bytes)
    assert len(kept) == 32
    assert await desk.token("ana") == first
    assert kept.hex() not in (await desk.get("ana", "/new")).text


async def test_console_without_its_key_of_page_tokens_serves_nobody(desk: Console, client: Redis) -> None:
    await client.set("t:console:key", b"short")
    answer = await desk.get("ana", "/policies")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "cannot be reached" in answer.text
