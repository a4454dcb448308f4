"""New policies read in one step, by the shape that most of a large batch has; the rest is left to `parse`.

A document that fits means exactly what `parse.parse_new_policy` makes of it. One that does not is not wrong here: it
is read again, member by member, and judged there, where it is also said what is wrong with it. So nothing unusual is
read here: no throttles, no evidence, no text beyond ASCII. Absent and null are the same in what people ask for.

Does not decode JSON text and reads no clock.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from haetae_policy.errors import AddressInvalid, PolicyInvalid
from haetae_policy.model import Action, Api, Mode, Policy, Source, SourceKind, Subject
from haetae_policy.network import parse_network
from haetae_policy.parse import is_code
from haetae_policy.reader import parse_time
from haetae_policy.record import checked_api
from haetae_policy.rules import Rules

_Name = Annotated[str, Meta(min_length=1, max_length=256)] | None
_ACTIONS: Final = {action.value: action for action in Action}
_NOBODY: Final = Subject()
_ANY: Final = Api()


class AskedSubject(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Who."""

    session: _Name = None
    device: _Name = None
    user: _Name = None
    account: _Name = None
    pw_fp: _Name = None
    client: _Name = None
    ip: str | None = None
    untrusted: bool | None = None


class AskedApi(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What."""

    gateway: str | None = None
    route: str | None = None
    method: str | None = None
    path: str | None = None


class Asked(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A new policy of the usual shape; texts, network, API conditions, code and time are still unchecked."""

    action: Literal["observe", "allow", "challenge", "block"]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    expires: str
    subject: AskedSubject | None = None
    api: AskedApi | None = None
    mode: Literal["enforce", "shadow"] | None = None
    hard: bool | None = None
    why: str | None = None
    ticket: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


def read_asked(
    document: Mapping[str, Any], *, policy_id: str, source: Source, now_ms: int, rules: Rules
) -> Policy | None:
    """Return what `parse_new_policy` does, or None where that has to read and judge the document."""
    try:
        asked = msgspec.convert(document, Asked)
        subject = _NOBODY if asked.subject is None else _subject(asked.subject)
        api = _ANY if asked.api is None else _api(asked.api)
    except (msgspec.ValidationError, AddressInvalid, PolicyInvalid):
        return None
    expires_ms, now_s_ms, why = parse_time(asked.expires), now_ms // 1000 * 1000, asked.why
    plain = _is_plain(asked.reason) and (asked.ticket is None or _is_plain(asked.ticket))
    if subject is None or expires_ms is None or expires_ms <= now_s_ms or not plain:
        return None
    if (why is not None and not is_code(why)) or (asked.hard and asked.action != "block"):
        return None
    policy = Policy(
        id=policy_id,
        subject=subject,
        api=api,
        action=_ACTIONS[asked.action],
        reason=asked.reason,
        source=source,
        created_ms=now_s_ms,
        changed_ms=now_s_ms,
        expires_ms=expires_ms,
        mode=Mode.SHADOW if asked.mode == "shadow" else Mode.ENFORCE,
        hard=asked.hard is True,
        why=why or ("manual" if source.kind is SourceKind.ANALYST else "fds"),
        ticket=asked.ticket,
    )
    return None if rules.problems(policy) else policy


def _subject(asked: AskedSubject) -> Subject | None:
    session, device, user, account, pw_fp, client, ip, untrusted = msgspec.structs.astuple(asked)
    for value in (session, device, user, account, pw_fp, client):
        if value is not None and not _is_plain(value):
            return None
    network = None if ip is None else parse_network(ip)
    return Subject(session, device, user, account, pw_fp, client, network, untrusted is True)


@lru_cache(maxsize=4096)
def _api(asked: AskedApi) -> Api:
    return checked_api(asked.gateway, asked.route, asked.method, asked.path)


def _is_plain(text: str) -> bool:
    """Whether a text that is not empty is printable ASCII without blanks around it."""
    return text.isascii() and text.isprintable() and text[0] != " " and text[-1] != " "
