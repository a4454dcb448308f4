"""The tools behind the gateway: nobody without an identity, live things of every kind."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from haetae_demo.dashboard.io.service import ToolService
from haetae_demo.dashboard.page import policy
from haetae_demo.dashboard.viewer import from_passport
from haetae_demo.errors import CredentialsInvalid
from haetae_demo.io.localhost import local_session
from haetae_demo.io.serving import serve
from haetae_passport import PassportPolicy, PassportVerifier
from haetae_passport.io.gate import PassportGate
from haetae_passport.io.jwks import PassportKeys

MINA = {"X-Forwarded-User": "op-mina", "X-Forwarded-Preferred-Username": "%EB%AF%B8%EB%82%98%3Cb%3E"}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with local_session() as made:
        yield made


@pytest.fixture
async def tools() -> AsyncIterator[str]:
    async with serve(ToolService(gate=None, beat=0.02).application()) as url:
        yield url


@pytest.mark.parametrize("path", ["/", "/live", "/events", "/api/orders", "/api/news", "/api/me"])
async def test_nobody_in_particular_sees_nothing(session: Any, tools: str, path: str) -> None:
    async with session.get(tools + path) as answer:
        assert answer.status == 401


async def test_headers_from_anybody_are_not_believed_where_passports_are_wanted(session: Any) -> None:
    verifier = PassportVerifier(PassportPolicy(issuer="haetae-internal", audience="haetae-demo-dashboard"))
    gate = PassportGate(verifier=verifier, keys=PassportKeys("http://127.0.0.1:1/x", loopback_http=True))
    async with serve(ToolService(gate=gate).application()) as url:
        for headers in (MINA, {**MINA, "Haetae-Passport": "e30.e30.e30"}):
            async with session.get(f"{url}/", headers=headers) as answer:
                assert answer.status == 401


async def test_page_shows_the_name_as_text_and_allows_only_its_own_files(session: Any, tools: str) -> None:
    async with session.get(f"{tools}/", headers=MINA) as answer:
        text = await answer.text()
        assert "미나&lt;b&gt;" in text
        assert "<b>" not in text
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


async def test_vault_answers_at_its_own_host(session: Any, tools: str) -> None:
    port = tools.rpartition(":")[2]
    async with session.get(f"http://vault.localhost:{port}/", headers=MINA) as answer:
        assert "Sealed envelopes" in await answer.text()


async def test_socket_ticks_in_order(session: Any, tools: str) -> None:
    async with session.ws_connect(f"{tools}/live", headers=MINA) as socket:
        assert [(await socket.receive_json(timeout=5))["tick"] for _ in range(3)] == [1, 2, 3]


async def test_event_stream_sends_the_time(session: Any, tools: str) -> None:
    async with session.get(f"{tools}/events", headers=MINA) as answer:
        assert answer.content_type == "text/event-stream"
        for _ in range(2):
            assert (await answer.content.readline()).startswith(b"data: ")
            assert await answer.content.readline() == b"\n"


async def test_long_poll_answers_with_something_newer(session: Any, tools: str) -> None:
    seen = 0
    for _ in range(3):
        async with session.get(f"{tools}/api/news?after={seen}", headers=MINA) as answer:
            newer = (await answer.json())["number"]
        assert newer > seen
        seen = newer
    async with session.get(f"{tools}/api/news?after=-1", headers=MINA) as answer:
        assert answer.status == 400


def test_passport_without_a_person_opens_no_tool() -> None:
    with pytest.raises(CredentialsInvalid):
        from_passport("service", None)


def test_odd_host_adds_nothing_to_the_policy() -> None:
    assert "evil" not in policy("evil; script-src *")
