import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BadAnswer
from bench.framing import parse_answer

HEAD = b"HTTP/1.1 200 OK\r\nServer: x\r\n"


def test_answer_with_length_ends_where_its_length_says() -> None:
    answer = parse_answer(HEAD + b"Content-Length: 4\r\n\r\nbody")
    assert answer is not None
    assert (answer.status, answer.body, answer.header(b"server")) == (200, b"body", b"x")


def test_chunked_answer_is_joined() -> None:
    answer = parse_answer(HEAD + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n")
    assert answer is not None
    assert answer.body == b"abc0123456789"


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(HEAD + b"\r\n", id="no framing"),
        pytest.param(HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", id="two lengths"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", id="negative length"),
        pytest.param(HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="both"),
        pytest.param(HEAD + b"Transfer-Encoding: gzip\r\n\r\n", id="unknown coding"),
        pytest.param(HEAD + b"Content-Length: 1\r\n\r\nab", id="bytes after the body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", id="bytes after the last chunk"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", id="chunk size not hexadecimal"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", id="chunk longer than its size"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 70, id="endless chunk size"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n", id="status not a number"),
        pytest.param(b"x" * (64 * 1024 + 1), id="endless head"),
    ],
)
def test_answer_that_cannot_be_delimited_is_refused(wire: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse_answer(wire)


@given(st.integers(200, 599), st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.booleans(), st.data())
def test_every_proper_prefix_is_incomplete_and_the_whole_is_read_back(
    status: int, parts: list[bytes], chunked: bool, data: st.DataObject
) -> None:
    body = b"".join(parts)
    head = b"HTTP/1.1 %d Reason\r\n" % status
    if chunked:
        coded = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        wire = head + b"Transfer-Encoding: chunked\r\n\r\n" + coded + b"0\r\n\r\n"
    else:
        wire = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    answer = parse_answer(wire)
    assert answer is not None
    assert (answer.status, answer.body, answer.wire_size) == (status, body, len(wire))
    cut = data.draw(st.integers(0, len(wire) - 1))
    assert parse_answer(wire[:cut]) is None


@given(st.binary(max_size=200), st.sampled_from([b"", HEAD, HEAD + b"Transfer-Encoding: chunked\r\n\r\n"]))
def test_arbitrary_bytes_give_an_answer_nothing_or_the_declared_error(noise: bytes, start: bytes) -> None:
    try:
        answer = parse_answer(start + noise)
    except BadAnswer:
        return
    assert answer is None or answer.wire_size == len(start + noise)
