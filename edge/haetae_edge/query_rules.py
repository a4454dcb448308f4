"""What a query parameter may be, and what becomes of one that is not.

A rule either refuses the request or corrects the value: a number outside its bounds becomes the nearer bound,
anything else becomes the default, or the parameter is left out. Values are judged decoded; what is not
corrected goes on byte for byte as it came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Final, Literal

from haetae_edge.config.values import ArgumentError, From, Regexp

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?")
_LONGEST: Final = 2000


def parse_decimal(text: str) -> Decimal:
    """A plain decimal number. Raises ValueError."""
    if not _NUMBER.fullmatch(text):
        raise ValueError("write a number such as `100` or `0.5`")
    return Decimal(text)


Number = Annotated[Decimal, From(parse_decimal, "a number")]


class Unacceptable(Exception):
    """The value breaks its rule and the rule does not correct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRule:
    """One parameter.

    `type`, with `values` for an enum, `min` and `max` for numbers, `max_length` (characters) and `pattern`
    for strings.
    `on_invalid`: refuse the request or correct the value. `default`: what a missing or uncorrectable value
    becomes.
    `repeated`: what happens when it is there more than once.
    """

    type: Literal["int", "number", "bool", "string", "enum"] = "string"
    values: tuple[str, ...] = ()
    min: Number | None = None
    max: Number | None = None
    max_length: int = 200
    pattern: Regexp | None = None
    default: str | None = None
    required: bool = False
    on_invalid: Literal["reject", "correct"] = "reject"
    repeated: Literal["reject", "first", "last", "all"] = "reject"

    def __post_init__(self) -> None:
        self._check_shape()
        if not 1 <= self.max_length <= _LONGEST:
            raise ArgumentError("max_length", f"is a number of characters from 1 to {_LONGEST}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ArgumentError("min", "is more than `max`")
        if self.type == "int" and any(b is not None and b != b.to_integral_value() for b in (self.min, self.max)):
            raise ArgumentError("min", "the bounds of an int are whole numbers")
        if self.default is not None and self._fault(self.default) is not None:
            raise ArgumentError("default", "does not keep this rule itself")
        if self.required and self.default is not None:
            raise ArgumentError("required", "a parameter with a default is never missing: keep one of the two")

    def _check_shape(self) -> None:
        if (self.type == "enum") is not bool(self.values):
            raise ArgumentError("values", "`values` go with `type: enum`, and only with it")
        if self.type not in ("int", "number") and (self.min is not None or self.max is not None):
            raise ArgumentError(
                "min" if self.min is not None else "max", "bounds go with `type: int` or `type: number`"
            )
        if self.type != "string" and self.pattern is not None:
            raise ArgumentError("pattern", "an expression goes with `type: string`")

    def accept(self, value: str) -> str | None:
        """The value to send on: the same object when it is fine, another when corrected, None to leave it
        out.

        Raises Unacceptable.
        """
        fault = self._fault(value)
        if fault is None:
            return value
        if self.on_invalid == "reject":
            raise Unacceptable
        return fault or self.default

    def _fault(self, value: str) -> str | None:
        """None when the value is fine; else the bound it should have been, or "" when there is no nearest
        value."""
        kind = self.type
        if kind in ("int", "number"):
            shape = _INTEGER if kind == "int" else _NUMBER
            return self._out_of_bounds(Decimal(value)) if shape.fullmatch(value) else ""
        if kind == "bool":
            fine = value in ("true", "false")
        elif kind == "enum":
            fine = value in self.values
        else:
            fine = len(value) <= self.max_length and value.isprintable()
            fine = fine and (self.pattern is None or self.pattern.fullmatch(value))
        return None if fine else ""

    def _out_of_bounds(self, number: Decimal) -> str | None:
        if self.min is not None and number < self.min:
            return format(self.min, "f")
        if self.max is not None and number > self.max:
            return format(self.max, "f")
        return None
