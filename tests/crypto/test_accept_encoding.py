"""Accept-Encoding: who asked for an encrypted answer, and who did not."""

import pytest
from haetae_crypto.accept_encoding import lists_coding
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("lines", "listed"),
    [
        (["aes128gcm"], True),
        (["gzip, AES128GCM;q=0.5"], True),
        (["gzip", "br , aes128gcm ; q=1.000"], True),
        (["aes128gcm;q=0"], False),
        (["aes128gcm;q=0.000, aes128gcm"], False),
        (["aes128gcm;q=2"], False),
        (["aes128gcm;x=1"], False),
        (["*"], False),
        (["xaes128gcm, aes128gcmx"], False),
        ([], False),
        ([""], False),
        (["a," * 600 + "aes128gcm"], False),
    ],
    ids=range(12),
)
def test_only_a_coding_listed_with_weight_counts(lines: list[str], listed: bool) -> None:
    assert lists_coding(lines) is listed


@given(st.lists(st.text(alphabet="aes128gcm,;q=01. *", max_size=40), max_size=3))
def test_any_field_has_an_answer(lines: list[str]) -> None:
    assert not lists_coding(lines) or "aes128gcm" in ",".join(lines).lower()
