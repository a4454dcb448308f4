"""What a profile demands of the *arguments* of a route's filters, beyond which filters there are.

Each check gets a route's predicates and its filters by name, default ones included, and gives a sentence that says what
to write, or None. They run when a configuration is loaded; a route that fails one does not load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from haetae_edge.filter import Filter
from haetae_edge.filters.introspect import Introspect
from haetae_edge.filters.mtls_identity import MtlsIdentity
from haetae_edge.filters.verify_jwt import VerifyJwt
from haetae_edge.predicate import Predicate
from haetae_edge.predicates.method import Method

Check = Callable[[Sequence[Predicate], Mapping[str, Filter]], str | None]

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def token_is_required(_: Sequence[Predicate], filters: Mapping[str, Filter]) -> str | None:
    """Nobody passes without a token."""
    for name, item in filters.items():
        if isinstance(item, VerifyJwt | Introspect) and not item.required:
            return f"may not have `required: false` in `{name}`: every call has a token here"
    return None


def certificate_is_required(_: Sequence[Predicate], filters: Mapping[str, Filter]) -> str | None:
    """Nobody passes without a certificate."""
    item = filters.get("MtlsIdentity")
    if isinstance(item, MtlsIdentity) and not item.required:
        return "may not have `required: false` in `MtlsIdentity`: every call has a certificate here"
    return None


def tokens_are_checked_once(_: Sequence[Predicate], filters: Mapping[str, Filter]) -> str | None:
    """One of the two filters that read tokens, not both: they would disagree on who is calling."""
    if "VerifyJwt" in filters and "Introspect" in filters:
        return "has `VerifyJwt` and `Introspect`: keep one"
    return None


def scopes_are_asked(_: Sequence[Predicate], filters: Mapping[str, Filter]) -> str | None:
    """A token alone says who, not what for."""
    for name, item in filters.items():
        if isinstance(item, VerifyJwt | Introspect) and not item.scopes and not item.scope_map:
            return f"needs `scopes` or `scopeMap` in `{name}`: a token that grants nothing must not pass"
    return None


def reuse_is_checked(predicates: Sequence[Predicate], filters: Mapping[str, Filter]) -> str | None:
    """A token that a browser lost changes nothing a second time. Routes that only read may do without."""
    item = filters.get("VerifyJwt")
    if not isinstance(item, VerifyJwt) or item.reuse != "off":
        return None
    if any(isinstance(test, Method) and set(test.methods) <= _READING for test in predicates):
        return None
    return (
        "needs `reuse: refuse` or `reuse: once-per-device` in `VerifyJwt`, or `Method=GET,HEAD` among its predicates "
        "if it only reads"
    )
