"""Content-Digest: every active digest must hold, and none is not enough."""

import base64
import hashlib
from itertools import pairwise

import pytest
from haetae_crypto.digest import DigestChecker, content_digest, parse_content_digest, verify_content_digest
from haetae_crypto.errors import SignatureInvalid
from hypothesis import given
from hypothesis import strategies as st

BODY = b'{"hello": "world"}'


def member(algorithm: str, digest: bytes) -> str:
    return f"{algorithm}=:{base64.b64encode(digest).decode()}:"


SHA256 = member("sha-256", hashlib.sha256(BODY).digest())
SHA512 = member("sha-512", hashlib.sha512(BODY).digest())


def test_digest_of_the_empty_body_is_the_known_one() -> None:
    assert content_digest(b"") == "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"
    verify_content_digest([content_digest(b"")], b"")
    assert content_digest(BODY) == "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"


@pytest.mark.parametrize(
    "lines",
    [[SHA256], [SHA512], [f"{SHA256}, {SHA512}"], [SHA512, SHA256], [f"md5=:AAAA:,{SHA256}"], [f"{SHA256};x=1"]],
    ids=lambda lines: f"{len(lines)}-lines",
)
def test_active_digests_that_hold_are_accepted(lines: list[str]) -> None:
    verify_content_digest(lines, BODY)


WRONG256, WRONG512 = member("sha-256", bytes(32)), member("sha-512", bytes(64))


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        [WRONG256],
        [WRONG512],
        [f"{SHA256}, {WRONG512}"],
        [f"{WRONG256}, {SHA512}"],
        [f"{SHA256}, {WRONG256}"],
        [f"{WRONG256}, {SHA256}"],
        [SHA256, SHA256],
        [member("md5", hashlib.md5(BODY, usedforsecurity=False).digest())],
        [member("sha", hashlib.sha1(BODY, usedforsecurity=False).digest())],
        [member("sha-384", hashlib.sha384(BODY).digest())],
        [member("sha-256", hashlib.sha256(BODY).digest()[:16])],
        [SHA256.upper()],
        ['sha-256="abc"'],
        ["sha-256=(:AAAA:)"],
        ["sha-256"],
        [SHA256[:-1]],
        [SHA256 + ","],
        [SHA256 + ", x=é"],
        [SHA256 + " " * 1100],
    ],
    ids=lambda lines: "-".join(str(len(line)) for line in lines) or "none",
)
def test_absent_wrong_deprecated_or_malformed_digest_is_refused(lines: list[str]) -> None:
    with pytest.raises(SignatureInvalid):
        verify_content_digest(lines, BODY)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_digest_over_pieces_equals_the_one_over_the_whole(body: bytes, cuts: list[int]) -> None:
    checker = DigestChecker([content_digest(body)])
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    for start, end in pairwise(edges):
        checker.update(body[start:end])
    checker.finish()


@given(st.integers(0, len(BODY) * 8 - 1))
def test_any_one_bit_change_of_the_body_is_refused(bit: int) -> None:
    changed = (int.from_bytes(BODY, "big") ^ (1 << bit)).to_bytes(len(BODY), "big")
    with pytest.raises(SignatureInvalid):
        verify_content_digest([SHA256], changed)


@given(st.lists(st.text(max_size=30) | st.text(alphabet="sha-256=:A/+,; ()", max_size=60), max_size=3))
def test_any_text_is_parsed_or_refused(lines: list[str]) -> None:
    try:
        digests = parse_content_digest(lines)
    except SignatureInvalid:
        return
    assert digests.keys() <= {"sha-256", "sha-512"}
    assert digests
