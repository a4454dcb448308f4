"""Regular expressions of the configuration, matched in time linear in the input.

They meet input that attackers choose, so a backtracking engine is out: RE2 has none. Its syntax is that of
the expressions route files usually hold, without look-around and back-references; those are refused when the
file is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import re2  # type: ignore[import-untyped]

_Compiled: TypeAlias = Any  # the module has no types

_MAX_LENGTH: Final = 1000
_MAX_MEMORY: Final = 1024 * 1024


def _compile(text: str) -> _Compiled:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return re2.compile(text, options)
    except re2.error as error:
        detail = error.args[0].decode("utf-8", "replace") if error.args else "it does not compile"
        raise ValueError(
            f"`{text[:60]}` is not a usable regular expression ({detail}); "
            "look-around and back-references are not supported"
        ) from None
    except UnicodeEncodeError:
        raise ValueError("a regular expression is Unicode text") from None


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled expression; equal when its text is. Raises ValueError when it cannot be used."""

    text: str
    _compiled: _Compiled = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.text) > _MAX_LENGTH:
            raise ValueError(f"a regular expression has at most {_MAX_LENGTH} characters")
        object.__setattr__(self, "_compiled", _compile(self.text))

    def fullmatch(self, text: str) -> bool:
        """Whether the whole of `text` matches, as `String.matches` does in Spring."""
        return self._compiled.fullmatch(text.encode("utf-8", "replace")) is not None

    def fullmatch_bytes(self, text: bytes) -> bool:
        """The same on bytes (UTF-8)."""
        return self._compiled.fullmatch(text) is not None

    def capture(self, text: str) -> dict[str, str] | None:
        """The named groups where the whole of `text` matches; None where it does not."""
        match = self._compiled.fullmatch(text)
        if match is None:
            return None
        return {name: value or "" for name, value in match.groupdict().items()}


def escape(text: str) -> str:
    """The expression that matches exactly `text`."""
    return str(re2.escape(text))
