"""What the store keeps of a session, inside the seal.

Rules kept: the record is ours and was sealed, so a text that does not fit is a fault and not somebody's attempt; its
format has a number. The idle end is outside (`io/session_store.py`), because every request may move it.

Not done here: sealing, storing.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from haetae_oidc.session.model import StaffSession

FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What the provider gave for this session. `access_start` and `access_end` are Unix seconds; the end is None when
    the provider names none or there is nothing to refresh with.
    """

    refresh_token: str | None = field(repr=False)
    access_token: str = field(repr=False)
    access_start: int
    access_end: int | None
    id_token: str = field(repr=False)
    nonce: str = field(repr=False)

    @property
    def refreshable(self) -> bool:
        """Whether the provider is to be asked again before `access_end`."""
        return self.refresh_token is not None and self.access_end is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """The session with its tokens. `renew` asks the next request to renew the ticket."""

    session: StaffSession
    tokens: Tokens
    renew: bool = False


def write_record(record: SessionRecord) -> bytes:
    """The record as JSON."""
    session = record.session
    facts: dict[str, Any] = {
        name: getattr(session, name) for name in StaffSession.__dataclass_fields__ if name != "idle_end"
    }
    facts["groups"] = sorted(session.groups)
    facts["claims"] = dict(session.claims)
    document = {"v": FORMAT, "session": facts, "tokens": asdict(record.tokens), "renew": record.renew}
    return json.dumps(document, separators=(",", ":")).encode()


def read_record(data: bytes, *, idle_end: int) -> SessionRecord:
    """The record again. Raises ValueError for another format, which a newer or older gateway may have written."""
    document = json.loads(data)
    if document.get("v") != FORMAT:
        raise ValueError("session record of another format")
    facts = document["session"]
    facts["groups"] = frozenset(facts["groups"])
    facts["amr"] = tuple(facts["amr"])
    session = StaffSession(**facts, idle_end=min(idle_end, facts["absolute_end"]))
    return SessionRecord(session=session, tokens=Tokens(**document["tokens"]), renew=document["renew"])
