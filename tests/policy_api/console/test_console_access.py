"""Who sees and does what in the console: every address as everybody, and what goes with every answer."""

from typing import Any

import pytest
from haetae_policy_api.console.access import NEEDS
from haetae_policy_api.console.io.mount import PAGES
from haetae_policy_api.console.io.visit import GUARDS
from haetae_policy_api.roles import OPERATIONS, Role

from tests.policy_api.console.desk import FORM, GROUPS, ORIGIN, PEOPLE, Console, furnish, passport

PERSONS = [who for who in PEOPLE if who != "out"]
STREAMS = ("/live", "/hold/{seq:int}")


def role_of(who: str) -> Role:
    return GROUPS[PEOPLE[who][0]]


def test_console_asks_for_the_same_role_as_the_api_wherever_the_api_has_the_operation() -> None:
    assert {name: need for name, need in NEEDS.items() if name in OPERATIONS} == {
        name: OPERATIONS[name].role for name in NEEDS if name in OPERATIONS
    }
    assert {operation for _, _, operation, _ in PAGES} <= NEEDS.keys()


async def ask(desk: Console, who: str, method: str, path: str) -> Any:
    ids = await furnish(desk)
    address = path.replace("{policy_id}", ids["wide"] if path.startswith("/pending") else ids["case"])
    if method == "GET":
        return await desk.get(who, f"{address}?id={ids['case']}" if address == "/policies/end" else address)
    fields = {"id": f"{ids['case']}@1", "reason": "why", "version": "1", "lasts_s": "60", "word": "confirm"}
    fields |= {"user": "u-7", "action": "block"}
    token = "0" * 64 if role_of(who) is Role.VIEWER else None
    return await desk.post(who, address, fields, token=token)


@pytest.mark.parametrize("who", PERSONS)
@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [(method, path, operation) for method, path, operation, _ in PAGES if path not in STREAMS],
)
async def test_person_gets_a_page_exactly_when_the_role_is_enough(
    desk: Console, who: str, method: str, path: str, operation: str
) -> None:
    answer = await ask(desk, who, method, path)
    if role_of(who) < NEEDS[operation]:
        assert answer.status_code == 403
        assert NEEDS[operation].name.lower() in answer.text
    else:
        assert answer.status_code in (200, 303)
    for name, value in GUARDS.items():
        assert answer.headers[name] == value


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _, _ in PAGES])
@pytest.mark.parametrize("caller", ["nobody", "outsider", "machine", "forged"])
async def test_who_is_no_person_with_a_role_sees_nothing(desk: Console, method: str, path: str, caller: str) -> None:
    await furnish(desk)
    token = {
        "outsider": passport("out"),
        "machine": passport("fraud", extra={"svc": "fraud"}, user=None),
        "forged": passport("adm")[:-8] + "AAAAAAAA",
    }.get(caller)
    headers = {"origin": ORIGIN, "content-type": FORM} | ({"x-passport": token} if token else {})
    address = path.replace("{policy_id}", "pol_01ARZ3NDEKTSV4RRFFQ69G5FAV").replace("{seq:int}", "1")
    answer = await desk.http.request(method, address, headers=headers)
    assert answer.status_code == (401 if caller in ("nobody", "forged") else 403)
    assert "u-1029" not in answer.text
    assert "stuffing" not in answer.text
    for name, value in GUARDS.items():
        assert answer.headers[name] == value


@pytest.mark.parametrize("who", PERSONS)
async def test_page_shows_only_what_leads_somewhere(desk: Console, who: str) -> None:
    ids = await furnish(desk)
    role = role_of(who)
    overview = (await desk.get(who, "/")).text
    assert ('href="/audit"' in overview) == (role >= Role.APPROVER)
    assert ('href="/new"' in overview) == (role >= Role.ANALYST)
    policies = (await desk.get(who, "/policies")).text
    assert ('type="checkbox" name="id"' in policies) == (role >= Role.ANALYST)
    case = (await desk.get(who, f"/policies/{ids['case']}")).text
    assert (f"/cases/{ids['case']}/judge" in case) == (role >= Role.ANALYST)
    assert (f"/policies/{ids['case']}/extend" in case) == (role >= Role.ANALYST)
    pending = (await desk.get(who, "/pending")).text
    assert (f"/pending/{ids['wide']}/approve" in pending) == (role >= Role.APPROVER)
    search = (await desk.get(who, "/search?q=u-1029&kind=user")).text
    assert ("/new?user=u-1029" in search) == (role >= Role.ANALYST)


async def test_no_page_can_be_framed_sniffed_kept_or_run_foreign_content(desk: Console) -> None:
    answer = await desk.get("ana", "/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert " style=" not in answer.text
    assert " on" not in "".join(part.split(">")[0] for part in answer.text.split("<")[1:] if part.startswith("script"))


async def test_console_is_not_in_the_description_of_the_api(desk: Console) -> None:
    paths = desk.app.openapi()["paths"]
    assert paths
    assert all(path.startswith("/v1/") or path == "/readyz" for path in paths)


async def test_files_are_served_by_the_names_found_at_start_and_kept_by_their_digest(desk: Console) -> None:
    page = (await desk.get("vic", "/")).text
    address = page.partition('src="/static/vendor/htmx')[2].partition('"')[0]
    script = await desk.http.get(f"/static/vendor/htmx{address}")
    assert script.status_code == 200
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in script.headers["cache-control"]
    assert (await desk.http.get("/static/console.css?v=other")).headers["cache-control"] == "no-cache"
    for name in ("vendor/manifest.json", "../texts/en.json", "%2e%2e/io/visit.py", "nothing.js"):
        assert (await desk.http.get(f"/static/{name}")).status_code == 404
