"""Ground truth about recorded events: one JSON object a line, by event id.

Rules kept: a line is bounded before it is parsed, unknown keys are passed over, a wrong type refuses the line with its
number. Absent means null or false.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from haetae_fds.evaluation.errors import LabelsInvalid

MAX_LINE: Final = 4_096
MAX_TEXT: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The truth about one event. `attack` names a campaign, None is honest traffic; `user` the honest person;
    `victim` the person whose account or device an attack uses; `harm`: a normal answer to this request does damage;
    `fresh`: an honest log-in from a device that is new to its owner.
    """

    id: str
    attack: str | None = None
    kind: str = ""
    user: str | None = None
    victim: str | None = None
    harm: bool = False
    fresh: bool = False


UNKNOWN: Final = Label(id="")
"""For events without a label: honest, of nobody."""


def read_labels(lines: Iterable[bytes]) -> dict[str, Label]:
    """Read a labels file. Raises LabelsInvalid, with the number of the line."""
    labels: dict[str, Label] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        label = read_label(line, number=number)
        if label.id in labels:
            raise LabelsInvalid(number, "id occurs twice")
        labels[label.id] = label
    return labels


def read_label(line: bytes, *, number: int) -> Label:
    """Read one line. Raises LabelsInvalid."""
    if len(line) > MAX_LINE:
        raise LabelsInvalid(number, "too long")
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise LabelsInvalid(number, "not JSON") from error
    if not isinstance(row, dict):
        raise LabelsInvalid(number, "not an object")
    event_id = _text(row, "id", number)
    if not event_id:
        raise LabelsInvalid(number, "id")
    return Label(
        id=event_id,
        attack=_text(row, "attack", number) or None,
        kind=_text(row, "kind", number) or "",
        user=_text(row, "user", number) or None,
        victim=_text(row, "victim", number) or None,
        harm=_flag(row, "harm", number),
        fresh=_flag(row, "fresh", number),
    )


def _text(row: dict[str, Any], name: str, number: int) -> str | None:
    value = row.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > MAX_TEXT):
        raise LabelsInvalid(number, name)
    return value


def _flag(row: dict[str, Any], name: str, number: int) -> bool:
    value = row.get(name, False)
    if not isinstance(value, bool):
        raise LabelsInvalid(number, name)
    return value
