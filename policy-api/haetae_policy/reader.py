"""Taking typed fields out of one JSON object, collecting everything that is wrong under dotted names."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, TypeVar

from haetae_policy.errors import Problem
from haetae_policy.faults import Fault, fault

_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z", re.ASCII)
_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})

Choice = TypeVar("Choice", bound=StrEnum)


class Reader:
    """Takes fields out of one object and collects what is wrong, under the object's dotted name."""

    def __init__(self, document: object, name: str, allowed: frozenset[str], problems: list[Problem]) -> None:
        self._name = name
        self._problems = problems
        self._fields: Mapping[str, Any] = {}
        if not isinstance(document, Mapping):
            self.fail("", fault("object"))
            return
        for key in document:
            if key not in allowed:
                shown = key if isinstance(key, str) and len(key) <= 64 and key.isprintable() else "(unprintable)"
                self.fail(shown, fault("unknown"))
        self._fields = document

    def fail(self, key: str, message: Fault) -> None:
        """Note a problem under this object's name."""
        parts = [part for part in (self._name, key) if part]
        self._problems.append(Problem(".".join(parts) or "policy", message))

    def raw(self, key: str) -> Any:
        """Return the value as it is; None for absence and for null."""
        return self._fields.get(key)

    def text(self, key: str, *, limit: int, required: bool = False) -> str | None:
        """Return a text, or None with a problem noted."""
        value = self.raw(key)
        if value is None:
            if required:
                self.fail(key, fault("required"))
            return None
        if not isinstance(value, str) or not value or len(value) > limit or value != value.strip():
            self.fail(key, fault("text", limit=limit))
            return None
        if not value.isascii() and any(unicodedata.category(char) in _UNPRINTABLE for char in value):
            self.fail(key, fault("invisible"))
            return None
        if value.isascii() and not value.isprintable():
            self.fail(key, fault("invisible"))
            return None
        return value

    def shaped(self, key: str, shape: re.Pattern[str], message: Fault) -> str | None:
        """Return a text that fits `shape`, or None; absence is fine."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, str) or shape.fullmatch(value) is None:
            self.fail(key, message)
            return None
        return value

    def flag(self, key: str) -> bool:
        """Return a boolean; absence is False."""
        value = self.raw(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.fail(key, fault("flag"))
        return False

    def integer(self, key: str, low: int, high: int) -> int | None:
        """Return a required integer in the range, or None with a problem noted."""
        value = self.raw(key)
        if type(value) is int and low <= value <= high:
            return value
        self.fail(key, fault("whole_number", low=low, high=high))
        return None

    def choice(self, key: str, choices: type[Choice], default: Choice | None = None) -> Choice | None:
        """Return the enum member, the default for absence, or None with a problem noted."""
        value = self.raw(key)
        if value is None and default is not None:
            return default
        if isinstance(value, str):
            try:
                return choices(value)
            except ValueError:
                pass  # reported below like a value of another type
        self.fail(key, fault("choice", choices=", ".join(member.value for member in choices)))
        return None

    def time(self, key: str) -> int | None:
        """Return Unix milliseconds of a required whole-second UTC time, or None with a problem noted."""
        value = self.raw(key)
        moment_ms = parse_time(value) if isinstance(value, str) else None
        if moment_ms is None:
            self.fail(key, fault("time"))
        return moment_ms


@lru_cache(maxsize=1024)
def parse_time(text: str) -> int | None:
    """Return Unix milliseconds of a whole-second UTC time, None for anything else."""
    shape = _TIME.fullmatch(text)
    if shape is None:
        return None
    try:
        return int(datetime.fromisoformat(shape[1]).replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        return None  # a well-shaped text such as 2026-02-31
