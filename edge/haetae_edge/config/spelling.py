"""One field, three spellings: `connect-timeout`, `connectTimeout` and `connect_timeout` are the same."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake(name: str) -> str:
    """The spelling of the program."""
    return _HUMP.sub("_", name).replace("-", "_").lower()


def kebab(name: str) -> str:
    """The spelling of `gateway.yaml` in messages and documentation."""
    return name.replace("_", "-")


def camel(name: str) -> str:
    """The spelling of predicate and filter arguments in messages and documentation."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of a sentence with the nearest known name, or nothing."""
    near = nearest(name, known)
    return f"; did you mean `{near}`?" if near else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like this one, if any does."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if not near:
        folded = {candidate.lower(): candidate for candidate in names}
        near = [folded[found] for found in difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)]
    return near[0] if near else None
