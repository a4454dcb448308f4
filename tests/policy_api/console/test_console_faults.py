"""What is wrong is said in the viewer's language, at the field it concerns; the API says it in English with a code."""

import html
import re
from typing import Any

import pytest

from tests.policy_api.console.desk import Console, evidence, furnish, passport, policies_in_force

KOREAN = {"accept_language": "ko-KR,ko;q=0.9"}
NEW: dict[str, Any] = {"user": "u-7", "action": "block", "reason": "왜", "lasts_s": "600"}
#: What a Korean page may still say in Latin letters: names, codes, examples of what to type.
LATIN = re.compile(r"[A-Za-z]{2,}(?: [A-Za-z]{2,}){2,}")
WRONG = [
    ("reason", {"reason": ""}, "사유", "꼭 입력해야 합니다"),
    ("reason", {"reason": "x" * 501}, "사유", "1~500자로 적으세요"),
    ("reason", {"reason": "a\u202eb"}, "사유", "보이지 않는 문자는 쓸 수 없습니다"),
    ("ip", {"ip": "203.0.113.5/24"}, "IP 주소 또는 대역", "네트워크 주소는 203.0.113.0/24입니다"),
    ("ip", {"ip": "999"}, "IP 주소 또는 대역", "IP 주소가 아닙니다"),
    ("gateway", {"gateway": "a b"}, "게이트웨이", "게이트웨이 이름이 아닙니다"),
    ("method", {"method": "post"}, "메서드", "대문자로 적으세요"),
    ("path", {"path": "a"}, "경로", "/로 시작하고"),
    ("path", {"path": "/{a}/{a}"}, "경로", "이름 a을(를) 두 번 썼습니다"),
    ("limit", {"action": "throttle", "limit": "0", "per_seconds": "60"}, "요청 수", "1에서 1000000 사이의 정수"),
    ("limit", {"action": "throttle", "limit": "x", "per_seconds": "60"}, "요청 수", "정수로 적으세요"),
    ("action", {"action": "ban"}, "조치", "다음 중 하나여야 합니다"),
    ("hard", {"action": "observe", "hard": "1"}, "예외 불가", "차단에만 쓸 수 있습니다"),
    ("lasts_s", {"lasts_s": "99999999"}, "기간", "1~2592000초여야 하고"),
    ("ticket", {"ticket": "T" * 65}, "티켓", "1~64자로 적으세요"),
]


def main_of(page: str) -> str:
    """The words of a page's main part, or of a piece."""
    inside = page.partition("<main")[2].partition("</main>")[0] or page
    return html.unescape(re.sub(r"<[^>]+>", " ", inside))


@pytest.mark.parametrize(("field", "changes", "name", "text"), WRONG)
async def test_what_is_wrong_with_a_form_is_said_in_korean_at_its_field(
    desk: Console, field: str, changes: dict[str, str], name: str, text: str
) -> None:
    answer = await desk.post("ana", "/new", NEW | changes, **KOREAN)
    assert answer.status_code == 422
    said = main_of(answer.text)
    assert name in said
    assert text in said
    assert LATIN.search(said) is None, LATIN.search(said)
    assert text in html.unescape(answer.text.partition(f'id="wrong-{field}"')[2].partition("</small>")[0])
    assert re.search(rf'name="{field}"[^>]*aria-describedby="wrong-{field}', answer.text)
    assert (await desk.get("ana", "/v1/policies")).json()["policies"] == []


@pytest.mark.parametrize("changes", [{"ip": "203.0.113.5/24"}, {"path": "a"}], ids=str)
async def test_preview_says_it_in_korean_too(desk: Console, changes: dict[str, str]) -> None:
    answer = await desk.post("ana", "/new/preview", NEW | changes, **KOREAN)
    assert re.search("[가-힣]", main_of(answer.text))
    assert LATIN.search(main_of(answer.text)) is None


async def test_api_says_the_same_in_english_with_a_code_whatever_language_the_caller_reads(desk: Console) -> None:
    document = {"action": "block", "reason": "r", "lasts_s": 60, "subject": {"ip": "203.0.113.5/24"}}
    answer = await desk.http.post(
        "/v1/policies",
        json=document,
        headers={
            "x-passport": passport("ana"),
            "origin": "http://console.test",
            "accept-language": "ko",
        },
    )
    assert answer.status_code == 422
    assert answer.json()["detail"] == "the policy is not valid"
    assert answer.json()["errors"] == [
        {"field": "subject.ip", "code": "host_bits", "message": "host bits are set; the network is 203.0.113.0/24"}
    ]


async def refusals(desk: Console) -> dict[str, Any]:
    """Every sort of refusal a person can meet in the console, but those of single fields."""
    ids = await furnish(desk)
    own = (await desk.policy(by="app", subject={}, reason="전체"))["policy"]["id"]
    hard = (await desk.policy(hard=True, subject={"user": "u-h"}))["policy"]["id"]
    wordless = (await desk.policy(machine=True, subject={"user": "u-w"}))["policy"]["id"]
    end = {"id": f"{ids['block']}@7", "reason": "끝"}
    return {
        "nothing there": await desk.get("ana", "/policies/pol_01ARZ3NDEKTSV4RRFFQ69G5FAV", **KOREAN),
        "no identifier": await desk.get("ana", "/policies/x", **KOREAN),
        "no such kind": await desk.get("ana", "/search?q=x&kind=y", **KOREAN),
        "no address": await desk.get("ana", "/search?q=x&kind=ip", **KOREAN),
        "no number": await desk.get("adm", "/audit?before=x", **KOREAN),
        "role": await desk.get("vic", "/new", **KOREAN),
        "audit": await desk.get("ana", "/audit", **KOREAN),
        "token": await desk.post("ana", "/new", NEW, token="0" * 64, **KOREAN),
        "site": await desk.post("ana", "/new", NEW, origin="https://evil.test", **KOREAN),
        "no origin": await desk.post("ana", "/new", NEW, origin="", **KOREAN),
        "kind": await desk.post("ana", "/new", NEW, content_type="text/plain", **KOREAN),
        "large": await desk.post("ana", "/new", {**NEW, "ticket": "x" * 70_000}, **KOREAN),
        "none chosen": await desk.post("ana", "/policies/end", {"reason": "끝"}, **KOREAN),
        "no version": await desk.post("ana", "/policies/end", {"id": ids["block"], "reason": "끝"}, **KOREAN),
        "changed": await desk.post("ana", "/policies/end", end, **KOREAN),
        "gone": await desk.post("ana", "/policies/end", {**end, "id": "pol_01ARZ3NDEKTSV4RRFFQ69G5FAV@1"}, **KOREAN),
        "no reason": await desk.post("ana", "/policies/end", {"id": f"{ids['block']}@1"}, **KOREAN),
        "own": await desk.post("app", f"/pending/{own}/approve", {}, **KOREAN),
        "nothing waits": await desk.post("app", f"/pending/{hard}/approve", {}, **KOREAN),
        "rejected without": await desk.post("app", f"/pending/{own}/reject", {}, **KOREAN),
        "hard": await desk.post("ana", f"/policies/{hard}/except", {"reason": "왜", "lasts_s": "60"}, **KOREAN),
        "extended": await desk.post("ana", f"/policies/{hard}/extend", {"version": "9", "lasts_s": "60"}, **KOREAN),
        "too long": await desk.post(
            "ana", f"/policies/{hard}/extend", {"version": "1", "lasts_s": "9999999"}, **KOREAN
        ),
        "person's": await desk.post("ana", f"/cases/{hard}/judge", {"word": "confirm"}, **KOREAN),
        "no decision": await desk.post("ana", f"/cases/{wordless}/judge", {"word": "confirm"}, **KOREAN),
        "no word": await desk.post("ana", f"/cases/{ids['case']}/judge", {"word": "maybe"}, **KOREAN),
        "outside": await desk.get("out", "/", **KOREAN),
    }


async def test_no_refusal_of_the_console_is_left_in_english(desk: Console) -> None:
    for name, answer in (await refusals(desk)).items():
        said = main_of(answer.text)
        assert answer.status_code >= 400 or name in ("changed", "gone"), name
        assert re.search("[가-힣]", said), name
        found = LATIN.search(said.replace("application/x-www-form-urlencoded", ""))
        assert found is None, (name, found)


async def test_broken_trail_is_told_as_one(desk: Console) -> None:
    await desk.policy(machine=True, evidence=evidence())
    assert len(await policies_in_force(desk)) == 1
    await desk.client.delete("{t:policy}:audit")
    for language, text in (("ko", "감사 기록이 온전하지 않습니다"), ("en", "the audit trail is not whole")):
        assert text in (await desk.get("adm", "/audit/verify", accept_language=language)).text
