"""Labels files are read strictly."""

import json

import pytest
from haetae_fds.evaluation import Label, LabelsInvalid, read_label, read_labels
from hypothesis import given
from hypothesis import strategies as st


def test_a_label_says_who_was_behind_an_event() -> None:
    line = b'{"id": "e1", "attack": "c1", "kind": "spraying", "user": null, "victim": "u-1", "harm": true, "note": 1}'
    assert read_label(line, number=1) == Label(id="e1", attack="c1", kind="spraying", victim="u-1", harm=True)


def test_an_absent_truth_is_null_or_false() -> None:
    assert read_labels([b'{"id": "e1"}\n', b"\n"]) == {"e1": Label(id="e1")}


@pytest.mark.parametrize(
    "line",
    [
        *(b"{", b"[]", b"{}", b'{"id": 7}', b'{"id": ""}', b'{"id": "e", "harm": 1}', b'{"id": "e", "user": ["u"]}'),
        b'{"id": "' + b"x" * 300 + b'"}',
        b" " * 5_000 + b"{}",
    ],
)
def test_a_line_that_is_no_label_is_refused_with_its_number(line: bytes) -> None:
    with pytest.raises(LabelsInvalid, match="line 2") as refused:
        read_labels([b'{"id": "first"}', line])
    assert refused.value.line == 2


def test_an_event_labelled_twice_is_refused() -> None:
    with pytest.raises(LabelsInvalid, match="twice"):
        read_labels([b'{"id": "e"}', b'{"id": "e"}'])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(line: bytes) -> None:
    try:
        label = read_label(line, number=1)
    except LabelsInvalid:
        return
    assert json.loads(line)["id"] == label.id
