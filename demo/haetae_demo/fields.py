"""Strict reading of JSON objects that came from outside.

Rules kept: one UTF-8 JSON object, no duplicate member, no NaN or Infinity, no float where an integer is
meant, every member named and typed by the reader, an unknown member is an error. Does not know about HTTP.
"""

from collections.abc import Iterable, Mapping
from typing import NoReturn

from haetae_crypto.strict_json import read_json_object

from haetae_demo.errors import RequestInvalid

MAX_BODY_BYTES = 64 * 1024
MAX_TEXT = 200


def parse_object(raw: bytes, *, limit: int = MAX_BODY_BYTES) -> dict[str, object]:
    """Read ``raw`` (at most ``limit`` bytes) as one JSON object.

    Raises:
        RequestInvalid: not UTF-8, not JSON, not an object, a member twice, or too long.
    """
    try:
        return read_json_object(raw, max_bytes=limit)
    except ValueError as error:
        raise RequestInvalid(f"not one well-formed JSON object of at most {limit} bytes") from error


class Fields:
    """One object being read: take each member once, then call :meth:`done`.

    Raises from every method:
        RequestInvalid: the member is missing, ill-typed or out of its bounds; the text names the member.
    """

    __slots__ = ("_left", "_where")

    def __init__(self, members: Mapping[str, object], *, where: str = "") -> None:
        self._left = dict(members)
        self._where = where

    def _fail(self, name: str, what: str) -> NoReturn:
        raise RequestInvalid(f"{self._where}{name}: {what}")

    def _take(self, name: str) -> object:
        if name not in self._left:
            self._fail(name, "is missing")
        return self._left.pop(name)

    def text(self, name: str, *, most: int = MAX_TEXT) -> str:
        """A non-empty string of at most ``most`` characters without control characters."""
        value = self._take(name)
        if not isinstance(value, str) or not 1 <= len(value) <= most:
            self._fail(name, f"must be text of 1 to {most} characters")
        if not value.isprintable():
            self._fail(name, "holds control characters")
        return value

    def optional_text(self, name: str, *, most: int = MAX_TEXT) -> str | None:
        """As :meth:`text`; absent or ``null`` gives None."""
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return self.text(name, most=most)

    def choice(self, name: str, allowed: Iterable[str]) -> str:
        """One of the listed strings."""
        value = self._take(name)
        names = sorted(allowed)
        if not isinstance(value, str) or value not in names:
            self._fail(name, "must be one of " + ", ".join(names))
        return value

    def integer(self, name: str, *, least: int, most: int) -> int:
        """A JSON integer within bounds; ``true`` and ``1.0`` are not integers."""
        value = self._take(name)
        if type(value) is not int or not least <= value <= most:
            self._fail(name, f"must be an integer from {least} to {most}")
        return value

    def number(self, name: str, *, least: float, most: float) -> float:
        """A JSON number within bounds."""
        value = self._take(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._fail(name, "must be a number")
        if not least <= value <= most:
            self._fail(name, f"must be from {least} to {most}")
        return float(value)

    def flags(self, name: str, *, most: int = 32) -> dict[str, bool]:
        """An object whose members are all booleans."""
        value = self._take(name)
        if not isinstance(value, dict) or len(value) > most:
            self._fail(name, f"must be an object of at most {most} members")
        for member, flag in value.items():
            if not isinstance(flag, bool):
                self._fail(f"{name}.{member}", "must be true or false")
        return dict(value)

    def texts(self, name: str, *, most: int, longest: int = MAX_TEXT) -> list[str]:
        """A list of at most ``most`` strings, each as :meth:`text`; absent gives none."""
        value = self._left.pop(name, [])
        if not isinstance(value, list) or len(value) > most:
            self._fail(name, f"must be a list of at most {most} texts")
        for each in value:
            if not isinstance(each, str) or not 1 <= len(each) <= longest or not each.isprintable():
                self._fail(name, f"must hold texts of 1 to {longest} characters")
        return list(value)

    def nested(self, name: str) -> "Fields":
        """A member that is itself an object, to be read and ``done`` by the caller."""
        value = self._take(name)
        if not isinstance(value, dict):
            self._fail(name, "must be an object")
        return Fields(value, where=f"{self._where}{name}.")

    def raw_object(self, name: str) -> dict[str, object]:
        """A member that is an object another reader will check."""
        value = self._take(name)
        if not isinstance(value, dict):
            self._fail(name, "must be an object")
        return dict(value)

    def rows(self, name: str, *, most: int) -> list["Fields"]:
        """A list of objects."""
        value = self._take(name)
        if not isinstance(value, list) or len(value) > most:
            self._fail(name, f"must be a list of at most {most} objects")
        rows = []
        for index, row in enumerate(value):
            if not isinstance(row, dict):
                self._fail(f"{name}[{index}]", "must be an object")
            rows.append(Fields(row, where=f"{self._where}{name}[{index}]."))
        return rows

    def done(self) -> None:
        """Refuse whatever was not read."""
        if self._left:
            self._fail(min(self._left)[:MAX_TEXT], "is not a known member")
