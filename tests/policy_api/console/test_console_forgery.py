"""Changes that did not come from the console's own pages are refused, and change nothing."""

import pytest
from haetae_policy_api.console.forgery import check_origin, check_token, page_token
from haetae_policy_api.errors import MediaTypeUnsupported, NotAllowed

from tests.policy_api.console.desk import FORM, ORIGIN, Console, now_ms

KEY = b"k" * 32
HALF_DAY = 43_200_000
FIELDS = {"user": "u-7", "action": "block", "reason": "why", "lasts_s": "600"}


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": ""},
        {"origin": "null"},
        {"origin": "https://evil.test"},
        {"origin": "https://console.test.evil.test"},
        {"origin": ORIGIN, "sec_fetch_site": "cross-site"},
        {"origin": ORIGIN, "sec_fetch_site": "same-site"},
        {"origin": ORIGIN, "sec_fetch_site": "none"},
        {"origin": ORIGIN, "content_type": "text/plain"},
        {"origin": ORIGIN, "content_type": "application/json"},
    ],
    ids=lambda headers: " ".join(f"{name}={value}" for name, value in headers.items()),
)
async def test_change_of_another_sites_page_is_refused(desk: Console, headers: dict[str, str]) -> None:
    answer = await desk.post("ana", "/new", FIELDS, **headers)
    assert answer.status_code in (403, 415)
    assert (await desk.get("ana", "/v1/policies")).json()["policies"] == []


@pytest.mark.parametrize("stolen", ["", "0" * 64, "ä" * 32, "of another person"])
async def test_change_without_the_persons_own_token_is_refused(desk: Console, stolen: str) -> None:
    token = await desk.token("adm") if stolen == "of another person" else stolen
    answer = await desk.post("ana", "/new", FIELDS, token=token)
    assert answer.status_code == 403
    assert (await desk.get("ana", "/v1/policies")).json()["policies"] == []


async def test_change_from_the_consoles_own_page_is_made(desk: Console) -> None:
    answer = await desk.post("ana", "/new", FIELDS)
    assert answer.status_code == 303
    [policy] = (await desk.get("ana", "/v1/policies")).json()["policies"]
    assert (policy["subject"], policy["source"]["name"]) == ({"user": "u-7"}, "ana")


async def test_no_reading_request_changes_anything(desk: Console) -> None:
    await desk.post("ana", "/new", FIELDS)
    head = (await desk.get("app", "/v1/audit")).json()["head"]
    for path in ("/", "/policies", "/cases", "/pending", "/audit", "/audit/verify", "/search?q=u-7", "/new?user=u-8"):
        assert (await desk.get("app", path)).status_code == 200
    assert (await desk.get("app", "/v1/audit")).json()["head"] == head


@pytest.mark.parametrize(
    ("age", "good"), [(0, True), (HALF_DAY - 1, True), (2 * HALF_DAY, False), (-HALF_DAY, False)], ids=str
)
def test_token_ends_within_a_day_and_is_of_no_use_before_it_was_given(age: int, good: bool) -> None:
    given = HALF_DAY * 1000
    token = page_token(KEY, "ana", now_ms=given)
    if good:
        check_token(KEY, "ana", token, now_ms=given + age)
    else:
        with pytest.raises(NotAllowed):
            check_token(KEY, "ana", token, now_ms=given + age)


def test_token_of_one_person_or_key_is_none_of_another() -> None:
    token = page_token(KEY, "ana", now_ms=now_ms())
    with pytest.raises(NotAllowed):
        check_token(KEY, "ana2", token, now_ms=now_ms())
    with pytest.raises(NotAllowed):
        check_token(b"j" * 32, "ana", token, now_ms=now_ms())


def test_listed_origin_is_as_good_as_the_services_own() -> None:
    headers = {"content-type": FORM, "origin": "https://console.example", "host": "10.0.0.7:9360"}
    check_origin(headers, origins=frozenset({"https://console.example"}))
    with pytest.raises(NotAllowed):
        check_origin(headers, origins=frozenset())
    with pytest.raises(MediaTypeUnsupported):
        check_origin({**headers, "content-type": ""}, origins=frozenset({"https://console.example"}))
