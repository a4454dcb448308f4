"""Block policies through the policy API: the same four verbs as `Blocks`, over HTTP, as the person at the terminal."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
import orjson
from haetae_policy import Policy, PolicyInvalid, read_policy
from haetae_policy.io.refusals import Refusal
from haetae_policy.io.store import Page
from haetae_policy.network import address_text

from haetae_cli.blocks import Effect
from haetae_cli.errors import BlockRefused
from haetae_cli.policy_service import terminal_token
from haetae_cli.state import StateDirectory

_SECONDS = 10.0
_MAX_ANSWER = 16 * 1024 * 1024


class TerminalBlocks(Protocol):
    """What `haetae block` needs, from the API or from the store itself."""

    async def create(self, document: Mapping[str, object], *, lasts_s: int, by: str) -> Effect:
        """Make a policy and see how far it has come."""

    async def remove(self, policy_id: str, *, by: str = ...) -> None:
        """Take a policy back."""

    async def page(self, *, limit: int, after: str | None = None) -> Page:
        """Policies in force, newest first."""

    async def naming(self, *, kind: str | None, value: str, address: int | None) -> tuple[Policy, ...]:
        """Policies that name a subject."""

    async def refusal(self, reference: str) -> Refusal:
        """What a reference stands for."""


class ApiBlocks:
    """Speaks to the API at `url`. Raises BlockRefused from every method, with what the service said."""

    def __init__(self, session: aiohttp.ClientSession, url: str, state: StateDirectory, person: str) -> None:
        self._session = session
        self._url = url
        self._state = state
        self._person = person

    async def create(self, document: Mapping[str, object], *, lasts_s: int, by: str) -> Effect:
        """Make a policy; one that needs a second person is approved by the one named in `approved_by`."""
        asked = dict(document)
        second = asked.pop("approved_by", None)
        began_ms = int(time.time() * 1000)
        key = {"Idempotency-Key": secrets.token_hex(16)}
        made = await self._send("POST", "/v1/policies", {**asked, "lasts_s": lasts_s}, person=by, headers=key)
        if made["course"] == "pending":
            if second is None:
                reasons = ", ".join(made["reasons"])
                raise BlockRefused(
                    f"{made['policy']['id']} waits for a second person ({reasons}): approved_by is needed,"
                    " give --approved-by NAME or let somebody approve it"
                )
            path = f"/v1/pending/{made['policy']['id']}/approve"
            made = await self._send("POST", path, {}, person=str(second))
        policy = _policy(made["policy"])
        found = await self._until_in_force(made["seq"], since_ms=began_ms)
        return Effect(policy=policy, applied=found["applied"], workers=found["workers"], after_ms=found["after_ms"])

    async def _until_in_force(self, seq: int, *, since_ms: int) -> dict[str, Any]:
        deadline = time.monotonic() + 0.5
        while True:
            found = await self._send("GET", f"/v1/convergence/{seq}?since_ms={since_ms}")
            if found["applied"] >= found["workers"] or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.02)

    async def remove(self, policy_id: str, *, by: str = "") -> None:
        """Take a policy back."""
        path = f"/v1/policies/{quote(policy_id, safe='')}"
        held = await self._send("GET", path)
        headers = {"If-Match": f'"{held["version"]}"', "Idempotency-Key": secrets.token_hex(16)}
        await self._send("POST", f"{path}/revoke", {"reason": "taken back"}, person=by or None, headers=headers)

    async def page(self, *, limit: int, after: str | None = None) -> Page:
        """Policies in force, newest first."""
        cursor = "" if after is None else f"&after={quote(after, safe='')}"
        found = await self._send("GET", f"/v1/policies?limit={max(1, min(limit, 500))}{cursor}")
        return Page(policies=tuple(_policy(document) for document in found["policies"]), after=found["next"])

    async def naming(self, *, kind: str | None, value: str, address: int | None) -> tuple[Policy, ...]:
        """Policies that name a subject, or a network around `address`."""
        if address is not None:
            kind, value = "ip", address_text(address)
        found = await self._send("GET", f"/v1/why?kind={quote(kind or '', safe='')}&value={quote(value, safe='')}")
        return tuple(_policy(document) for document in found["policies"])

    async def refusal(self, reference: str) -> Refusal:
        """What a reference in a refusal stands for."""
        found = (await self._send("GET", f"/v1/why?reference={quote(reference, safe='')}"))["refusal"]
        return Refusal(
            policy_id=found["policy"],
            action=found["action"],
            why=found["why"],
            at_ms=found["at_ms"],
            facts=found["facts"],
        )

    async def waiting(self) -> list[dict[str, Any]]:
        """What waits for a second person, oldest first: policy, who asked (`by`), why it waits (`reasons`)."""
        found: list[dict[str, Any]] = (await self._send("GET", "/v1/pending"))["pending"]
        return found

    async def approve(self, policy_id: str) -> Effect:
        """Put a waiting policy in force, as the second person, and see how far it has come."""
        began_ms = int(time.time() * 1000)
        made = await self._send("POST", f"/v1/pending/{quote(policy_id, safe='')}/approve", {})
        found = await self._until_in_force(made["seq"], since_ms=began_ms)
        policy = _policy(made["policy"])
        return Effect(policy=policy, applied=found["applied"], workers=found["workers"], after_ms=found["after_ms"])

    async def reject(self, policy_id: str, *, reason: str) -> None:
        """Drop a waiting policy."""
        await self._send("POST", f"/v1/pending/{quote(policy_id, safe='')}/reject", {"reason": reason})

    async def _send(
        self,
        method: str,
        path: str,
        document: Mapping[str, object] | None = None,
        *,
        person: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        token = terminal_token(self._state, person or self._person)
        sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **(headers or {})}
        data = None if document is None else orjson.dumps(document)
        try:
            async with self._session.request(
                method, self._url + path, data=data, headers=sent, allow_redirects=False
            ) as answer:
                raw = await answer.content.read(_MAX_ANSWER)
                body = orjson.loads(raw)
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            raise BlockRefused(f"the policy API at {self._url} does not answer; is the stack running?") from error
        if answer.status >= 400:
            fields = "; ".join(f"{item['field']} {item['message']}" for item in body.get("errors", []))
            raise BlockRefused(fields or str(body.get("detail", f"refused with {answer.status}")))
        found: dict[str, Any] = body
        return found


@asynccontextmanager
async def open_api_blocks(url: str, state: StateDirectory, *, person: str) -> AsyncIterator[ApiBlocks]:
    """Use the API of a running stack as `person`."""
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield ApiBlocks(session, url, state, person)


def _policy(document: dict[str, Any]) -> Policy:
    try:
        return read_policy({name: value for name, value in document.items() if name != "hits"})
    except PolicyInvalid as error:
        raise BlockRefused(f"the policy API answered what this version does not read: {error}") from error
