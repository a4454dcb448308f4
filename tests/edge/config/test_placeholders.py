"""Placeholders come from the mapping that is passed in, and from nowhere else."""

from __future__ import annotations

import os

import pytest
from haetae_edge.config.placeholders import MAX_LENGTH, expand
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("${A}", "1"),
        ("x${A}y${B}z", "x1y2z"),
        ("${NONE:fallback}", "fallback"),
        ("${NONE:}", ""),
        ("${NONE:http://h:80/x}", "http://h:80/x"),
        ("${NONE:${A}}", "1"),
        ("${NONE:${NONE2:${B}}-x}", "2-x"),
        ("${NONE:{x}}", "{x}"),
        (r"\${A}", "${A}"),
        (r"/(?<segment>.*), /$\{segment}", r"/(?<segment>.*), /$\{segment}"),
        ("${bank.uri}", "http://bank"),
        ("${bank-x.uri}", "http://x"),
        ("$A ${A", None),
        ("${}", None),
        ("${a b}", None),
        ("${NONE}", None),
        ("${NONE:${NONE}}", None),
        ("${A${B}}", None),
    ],
)
def test_placeholders_are_filled_or_refused(text: str, result: str | None) -> None:
    environment = {"A": "1", "B": "2", "BANK_URI": "http://bank", "BANKX_URI": "http://x"}
    if result is None:
        with pytest.raises(ValueError, match="`"):
            expand(text, environment)
    else:
        assert expand(text, environment) == result


def test_a_value_of_the_environment_is_not_expanded_again() -> None:
    assert expand("${A}", {"A": "${B}", "B": "secret"}) == "${B}"


def test_the_environment_of_the_process_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HAETAE_TEST_ONLY", "leak")
    with pytest.raises(ValueError, match="is not set"):
        expand("${HAETAE_TEST_ONLY}", {})


def test_deep_nesting_and_long_results_are_refused() -> None:
    with pytest.raises(ValueError, match="deep"):
        expand("${A:" * 20 + "x" + "}" * 20, {})
    with pytest.raises(ValueError, match="longer"):
        expand("${A}" * 3, {"A": "x" * (MAX_LENGTH // 2)})


@given(st.text(alphabet="${}:\\AB", max_size=60))
def test_any_text_expands_or_raises_value_error(text: str) -> None:
    try:
        result = expand(text, {"A": "1"})
    except ValueError:
        return
    assert "$" in text or result == text
