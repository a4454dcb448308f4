"""Reading hostile JSON: a value or the declared error, never anything else."""

import contextlib
import json
import math

import pytest
from haetae_demo.errors import RequestInvalid, WorldInvalid
from haetae_demo.fields import Fields, parse_object
from haetae_demo.world import parse_world
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b"1", b'{"a":1,"a":2}', b'{"a":NaN}', b'\xef\xbb\xbf{"a":1}', b"{" * 100_000, b'"\xff"'],
)
def test_document_that_is_not_one_clean_object_is_refused(raw: bytes) -> None:
    with pytest.raises(RequestInvalid):
        parse_object(raw, limit=1_000_000)


def test_document_over_the_limit_is_refused() -> None:
    with pytest.raises(RequestInvalid):
        parse_object(b'{"a":"' + b"x" * 100 + b'"}', limit=50)


@pytest.mark.parametrize("value", [True, 1.0, "1", None, 0, 11, [1]])
def test_integer_field_refuses_what_is_not_an_integer_in_range(value: object) -> None:
    with pytest.raises(RequestInvalid, match="amount"):
        Fields({"amount": value}).integer("amount", least=1, most=10)


@pytest.mark.parametrize("value", [True, "1", None, math.nan, -0.1, 1.1])
def test_number_field_refuses_what_is_not_a_number_in_range(value: object) -> None:
    with pytest.raises(RequestInvalid, match="risk"):
        Fields({"risk": value}).number("risk", least=0, most=1)


def test_unknown_member_is_refused_by_name() -> None:
    fields = Fields({"a": "x", "b": 1})
    fields.text("a")
    with pytest.raises(RequestInvalid, match=r"^b: is not a known member"):
        fields.done()


def test_error_names_the_nested_member() -> None:
    with pytest.raises(RequestInvalid, match=r"device\.platform"):
        Fields({"device": {"platform": "amiga"}}).nested("device").choice("platform", {"ios"})


@given(st.binary(max_size=200))
def test_any_bytes_give_an_object_or_the_declared_error(raw: bytes) -> None:
    with contextlib.suppress(RequestInvalid):
        assert isinstance(parse_object(raw), dict)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["people", "x"]), json_values))
def test_any_world_file_reads_or_says_what_is_wrong(world: dict[str, object]) -> None:
    with pytest.raises(WorldInvalid):
        parse_world(json.dumps(world).encode())


def test_world_with_the_same_account_twice_is_refused() -> None:
    person = {
        "id": "u-1", "name": "A", "locale": "en", "tier": "gold",
        "enrolment_code": "c", "risk": 0, "consents": {},
        "accounts": [{"id": "1", "name": "x", "currency": "KRW", "balance": 1}],
    }  # fmt: skip
    other = {**person, "id": "u-2", "enrolment_code": "d"}
    with pytest.raises(WorldInvalid, match="account id"):
        parse_world(json.dumps({"people": [person, other]}).encode())
