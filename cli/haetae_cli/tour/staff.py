"""The tour's steps of signing in: staff, a browser, and tools that know nothing of passwords.

Each step continues with the browser of the one before. Used by ``haetae demo sso``, and by ``haetae up --check``
where the stack has an Internal gateway.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
from haetae_demo.io.localhost import local_session

from haetae_cli.errors import NotRunning
from haetae_cli.staff import INTERNAL_GATEWAY, tool_origin
from haetae_cli.state import RunningStack
from haetae_cli.tour.browser import Browser, Page
from haetae_cli.tour.place import Outcome, Step

USER = "mina"
APPROVER = "sora"
#: A socket must be closed this many seconds after its session ended.
CLOSED_WITHIN = 1.0
_WAITED = 0.05
_CODE = re.compile(r"<output>([0-9]{6})</output>")


def demo_password(username: str) -> str:
    """The public password of a packaged person."""
    return f"{username}-demo-password"


@dataclass(slots=True, kw_only=True)
class Desk:
    """Where staff sit: the tools' origins and a browser. ``socket`` is what the dashboard holds open."""

    dashboard: str
    vault: str
    browser: Browser
    socket: aiohttp.ClientWebSocketResponse | None = None
    pages: dict[str, Page] = field(default_factory=dict)


async def asked_to_sign_in(desk: Desk) -> Outcome:
    """A visit to the dashboard ends at the provider's page."""
    page = await desk.browser.visit(f"{desk.dashboard}/")
    desk.pages["sign-in"] = page
    details = (("asked for", f"{desk.dashboard}/"), ("came to", page.url.partition("?")[0]))
    return Outcome(passed='name="password"' in page.text, note=f"{page.status} at {page.host}", details=details)


async def signed_in(desk: Desk) -> Outcome:
    """With the password, the dashboard opens and knows who it is."""
    page = await desk.browser.submit(desk.pages["sign-in"], username=USER, password=demo_password(USER))
    kept = desk.browser.cookies.get(urlsplit(desk.dashboard).hostname or "", {})
    known = "Mina Park" in page.text and page.url.startswith(desk.dashboard)
    details = (("at", page.url), ("cookies for the tool's host", ", ".join(sorted(kept)) or "none"))
    return Outcome(passed=page.status == 200 and known, note=f"{page.status}, as Mina Park", details=details)


async def script_is_not_redirected(desk: Desk) -> Outcome:
    """A script without a session gets 401, not the sign-in page."""
    headers = {"Accept": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    async with desk.browser.session.get(
        f"{desk.dashboard}/api/orders", headers=headers, allow_redirects=False
    ) as answer:
        return Outcome(passed=answer.status == 401, note=str(answer.status))


async def api_answers(desk: Desk) -> Outcome:
    """With the session, the tool's API answers."""
    url = f"{desk.dashboard}/api/me"
    async with desk.browser.session.get(url, headers=desk.browser.cookie_header(url)) as answer:
        if answer.status != 200:
            return Outcome(passed=False, note=str(answer.status))
        known = await answer.json()
    return Outcome(
        passed=known["name"] == "Mina Park" and "staff" in known["groups"],
        note=", ".join(known["groups"]),
        details=(("subject", str(known["subject"])),),
    )


async def socket_ticks(desk: Desk) -> Outcome:
    """The dashboard's WebSocket works."""
    url = f"{desk.dashboard}/live"
    headers = {**desk.browser.cookie_header(url), "Origin": desk.dashboard}
    try:
        desk.socket = await desk.browser.session.ws_connect(url, headers=headers)
    except aiohttp.WSServerHandshakeError as error:
        return Outcome(passed=False, note=f"refused with {error.status}")
    ticks = [await desk.socket.receive_json(timeout=5) for _ in range(2)]
    return Outcome(passed=ticks[1]["tick"] == ticks[0]["tick"] + 1, note=f"tick {ticks[1]['tick']}")


async def foreign_socket_is_refused(desk: Desk) -> Outcome:
    """A page from elsewhere cannot open the socket with this person's cookie."""
    url = f"{desk.dashboard}/live"
    headers = {**desk.browser.cookie_header(url), "Origin": "http://evil.example"}
    try:
        opened = await desk.browser.session.ws_connect(url, headers=headers)
    except aiohttp.WSServerHandshakeError as error:
        return Outcome(passed=error.status == 403, note=str(error.status))
    await opened.close()
    return Outcome(passed=False, note="it was opened")


async def refused_the_vault(desk: Desk) -> Outcome:
    """Signed in once, known everywhere; but Mina is no approver."""
    page = await desk.browser.visit(f"{desk.vault}/")
    if (shown := _CODE.search(page.text)) is not None:
        page = await desk.browser.submit(page, code=shown[1])
    passed = page.status == 403 and page.url.startswith(desk.vault)
    return Outcome(passed=passed, note=f"{page.status} at {page.host}")


async def sign_out_closes_everything(desk: Desk) -> Outcome:
    """After signing out the socket closes within a second, and the dashboard asks again."""
    if desk.socket is None:
        return Outcome(passed=False, note="there was no socket")
    asking = await desk.browser.visit(f"{desk.dashboard}/.haetae/logout")
    await _fresh_tick(desk.socket)
    closing = asyncio.create_task(_until_closed(desk.socket))
    clock = asyncio.get_running_loop().time
    began = clock()
    await desk.browser.submit(asking)
    try:
        closed = await asyncio.wait_for(closing, timeout=CLOSED_WITHIN)
    except TimeoutError:
        return Outcome(passed=False, note=f"the socket was still open {clock() - began:.1f} s after signing out")
    page = await desk.browser.visit(f"{desk.dashboard}/")
    seconds = closed - began
    return Outcome(
        passed='name="password"' in page.text and seconds <= CLOSED_WITHIN,
        note=f"closed after {seconds * 1000:.0f} ms, and a new visit asks again",
        details=(("close code", str(desk.socket.close_code)),),
    )


async def approver_makes_a_second_step(desk: Desk) -> Outcome:
    """Sora may see the vault, after a one-time code."""
    desk.browser.cookies.clear()
    page = await desk.browser.visit(f"{desk.vault}/")
    page = await desk.browser.submit(page, username=APPROVER, password=demo_password(APPROVER))
    shown = _CODE.search(page.text)
    if shown is None:
        return Outcome(passed=False, note=f"{page.status} at {page.host}: no second step")
    page = await desk.browser.submit(page, code=shown[1])
    passed = page.status == 200 and "Sealed envelopes" in page.text
    return Outcome(passed=passed, note=f"{page.status} at {page.host}")


STAFF_STEPS: tuple[Step[Desk], ...] = (
    Step(title="a visit without a session leads to the sign-in page", run=asked_to_sign_in, essential=True),
    Step(title="the password opens the dashboard", run=signed_in, essential=True),
    Step(title="a script without a session gets 401, no redirect", run=script_is_not_redirected),
    Step(title="the tool knows the person by a Passport", run=api_answers),
    Step(title="the dashboard's WebSocket ticks", run=socket_ticks),
    Step(title="a page from elsewhere cannot open that socket", run=foreign_socket_is_refused),
    Step(title="a tool for another group is refused", run=refused_the_vault),
    Step(title="signing out closes the socket and asks again", run=sign_out_closes_everything),
    Step(title="an approver opens the vault with a second step", run=approver_makes_a_second_step),
)


def has_staff(stack: RunningStack) -> bool:
    """Whether this stack has an Internal gateway and its tools."""
    return INTERNAL_GATEWAY in stack.gateways and bool(stack.dashboard)


@asynccontextmanager
async def staff_desk(stack: RunningStack) -> AsyncIterator[Desk]:
    """A desk with connections.

    Raises:
        NotRunning: the stack has no Internal gateway.
    """
    if not has_staff(stack):
        raise NotRunning(f"the stack runs no gateway named {INTERNAL_GATEWAY}; this needs the one of config/internal")
    port = urlsplit(stack.gateways[INTERNAL_GATEWAY]).port or 80
    async with local_session() as session:
        desk = Desk(
            dashboard=tool_origin("dashboard", port), vault=tool_origin("vault", port), browser=Browser(session=session)
        )
        try:
            yield desk
        finally:
            if desk.socket is not None:
                with suppress(aiohttp.ClientError):
                    await desk.socket.close()


async def _fresh_tick(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Read what has piled up, until a tick had to be waited for: the socket is open now.

    Raises:
        TypeError: it is closed.
    """
    clock = asyncio.get_running_loop().time
    waited = 0.0
    while waited < _WAITED:
        began = clock()
        await socket.receive_json(timeout=5)
        waited = clock() - began


async def _until_closed(socket: aiohttp.ClientWebSocketResponse) -> float:
    """When it was closed, on the loop's clock."""
    async for _ in socket:
        pass
    return asyncio.get_running_loop().time()
