"""Forms: from urlencoded bytes to fields, and from fields to the documents of the API.

Rules kept: bounded in bytes and fields; a field that comes twice is an error, except lists; empty fields are absent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from haetae_policy.model import KINDS, Mode, Policy

from haetae_policy_api.errors import Invalid, RequestMalformed
from haetae_policy_api.faults import said

MAX_BYTES: Final = 65_536
_MAX_FIELDS: Final = 300
_LISTS: Final = frozenset({"id"})
_API: Final = ("gateway", "route", "method", "path")
_PLAIN: Final = ("action", "reason", "ticket")
#: How long a policy may be asked to last, in seconds.
LASTS: Final = (900, 3600, 14_400, 86_400, 604_800, 2_592_000)


@dataclass(frozen=True, slots=True)
class Form:
    """The fields that were filled in; `ids` are the chosen rows."""

    values: Mapping[str, str]
    ids: tuple[str, ...] = field(default=())

    def get(self, name: str) -> str:
        """Return a field, empty when it was not filled in."""
        return self.values.get(name, "")


def read_form(raw: bytes) -> Form:
    """Return the fields of a form; raises RequestMalformed."""
    if len(raw) > MAX_BYTES:
        raise RequestMalformed(said("form_large"))
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(raw),
            max_num_fields=_MAX_FIELDS,
            errors="strict",
        )
    except ValueError as error:
        raise RequestMalformed(said("form_unreadable")) from error
    values: dict[str, str] = {}
    ids: list[str] = []
    for name, text in pairs:
        if name in _LISTS:
            ids.append(text)
        elif name in values:
            raise RequestMalformed(said("form_twice"))
        else:
            values[name] = text
    return Form({name: text.strip() for name, text in values.items() if text.strip()}, tuple(dict.fromkeys(ids)))


def policy_document(form: Form) -> dict[str, Any]:
    """Return the policy a form asks for, as the API reads it; raises Invalid."""
    subject: dict[str, Any] = {kind: form.get(kind) for kind in (*KINDS, "ip") if form.get(kind)}
    if form.get("untrusted"):
        subject["untrusted"] = True
    document: dict[str, Any] = {name: form.get(name) for name in _PLAIN if form.get(name)}
    document["subject"] = subject
    if api := {name: form.get(name) for name in _API if form.get(name)}:
        document["api"] = api
    document["lasts_s"] = seconds(form, "lasts_s")
    if form.get("shadow"):
        document["mode"] = "shadow"
    if form.get("hard"):
        document["hard"] = True
    if form.get("action") == "throttle":
        document["rate"] = {"limit": seconds(form, "limit"), "per_seconds": seconds(form, "per_seconds")}
    return document


def filled_of(policy: Policy, *, now_ms: int) -> dict[str, str]:
    """Return the fields that ask for what a policy says: the way back from `policy_document`, without a reason."""
    left_s = max(0, policy.expires_ms - now_ms) // 1000
    filled = {name: text for name, text in policy.subject.to_dict().items() if isinstance(text, str)}
    filled |= policy.api.to_dict()
    filled |= {"action": policy.action.value, "ticket": policy.ticket or ""}
    filled["lasts_s"] = str(next((offered for offered in LASTS if offered >= left_s), LASTS[-1]))
    if policy.rate is not None:
        filled |= {"limit": str(policy.rate.limit), "per_seconds": str(policy.rate.per_seconds)}
    checked = {"untrusted": policy.subject.untrusted, "shadow": policy.mode is Mode.SHADOW, "hard": policy.hard}
    return filled | {name: "1" for name, on in checked.items() if on}


def seconds(form: Form, name: str) -> int:
    """Return a whole number; raises Invalid."""
    text = form.get(name)
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise Invalid(said("form_incomplete"), errors=[(name, said("form_number"))])
    return int(text)
