"""`Expect: 100-continue`: one 100 when the body is wanted, none when the request is refused from its head."""

from haetae_edge.limits import Limits

from tests.simulator.world import NEXT, world

POST = b"POST /a HTTP/1.1\r\nHost: api.test\r\n"


async def test_expectation_is_met_by_exactly_one_100_when_the_body_is_wanted() -> None:
    async with world() as edge:
        await edge.client.send(POST + b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert (await edge.client.answer()).status == 100
        await edge.client.send(b"body")
        answer = await edge.client.answer()
        assert (answer.status, answer.body) == (200, b"answer to POST /a")
        assert edge.upstream.only.body == b"body"
        assert edge.upstream.only.values(b"expect") == []
        await edge.next_is_answered()


async def test_expectation_of_a_refused_request_gets_the_refusal_and_no_100() -> None:
    async with world(limits=Limits(body_bytes=1000)) as edge:
        await edge.client.send(POST + b"Content-Length: 5000\r\nExpect: 100-continue\r\n\r\n")
        await edge.refused("body-too-large", 413, closes=True)
        assert edge.upstream.requests == []


async def test_expectation_without_waiting_is_answered_once() -> None:
    async with world() as edge:
        await edge.client.send(POST + b"Content-Length: 4\r\nExpect: 100-Continue\r\n\r\nbody" + NEXT)
        answer = await edge.client.answer()
        if answer.status == 100:
            answer = await edge.client.answer()
        assert answer.body == b"answer to POST /a"
        assert (await edge.client.answer()).body == b"answer to GET /next"


async def test_unknown_expectation_is_417() -> None:
    async with world() as edge:
        await edge.client.send(POST + b"Content-Length: 0\r\nExpect: miracles\r\n\r\n")
        await edge.refused("expectation-failed", 417, closes=False)
        await edge.next_is_answered()


async def test_expectation_of_an_http_1_0_client_is_ignored() -> None:
    async with world() as edge:
        head = b"POST /a HTTP/1.0\r\nHost: api.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        await edge.client.send(head)
        await edge.upstream.until(lambda upstream: len(upstream.requests) == 1)
        await edge.client.send(b"body")
        assert (await edge.client.answer()).body == b"answer to POST /a"
