"""Answers that are kept: a repeated request with the same Idempotency-Key gets the first one's answer.

The key belongs to the caller and the operation; another document under a used key is refused. The answer is written
in the transaction of the change, so that no crash can separate them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import orjson
from haetae_policy.io.ledger import Once

from haetae_policy_api.errors import Conflict, Invalid, RequestMalformed
from haetae_policy_api.faults import said
from haetae_policy_api.roles import Caller
from haetae_policy_api.service.context import Context

_REFUSED: Final = ("ended", "missing", "expired", "full", "changed", "same")
KEY: Final = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status and JSON body of a change. `version` becomes the ETag; `repeated`: it is an earlier one's."""

    status: int
    body: Mapping[str, Any]
    version: int | None = None
    repeated: bool = False


class Repeatable:
    """One request that may be repeated; without a key it never is."""

    def __init__(self, context: Context, caller: Caller, operation: str, key: str | None, document: object) -> None:
        """Raises RequestMalformed for a key that is not one."""
        if key is not None and KEY.fullmatch(key) is None:
            raise RequestMalformed("an Idempotency-Key has 1 to 128 visible ASCII characters")
        self._context = context
        self._digest, self._print = None, ""
        if key is not None:
            self._digest = sha256(orjson.dumps([caller.name, caller.is_machine, operation, key])).hexdigest()
            self._print = _print_of(document)

    async def earlier(self) -> Answer | None:
        """Return the answer given before; raises Invalid when it was to another document."""
        if self._digest is None:
            return None
        kept = await self._context.ledger.answer(self._digest)
        return None if kept is None else self.read(kept)

    def read(self, kept: bytes) -> Answer:
        """Return a kept answer; raises Invalid when it was to another document."""
        printed, status, version, body = orjson.loads(kept)
        if printed != self._print:
            raise Invalid("the Idempotency-Key was used for another request")
        return Answer(status=status, body=body, version=version, repeated=True)

    def once(self, answer: Answer) -> Once | None:
        """Return what the ledger has to keep with the change; None without a key."""
        if self._digest is None:
            return None
        kept = orjson.dumps([self._print, answer.status, answer.version, answer.body])
        return Once(digest=self._digest, answer=kept, life_s=self._context.settings.idempotency_s)


def _print_of(document: object) -> str:
    try:
        encoded = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # a document is not checked yet and may hold integers beyond 64 bits
        encoded = json.dumps(document, sort_keys=True).encode("ascii")
    return sha256(encoded).hexdigest()


def refused(statuses: tuple[str, ...]) -> Conflict:
    """Return the problem for operations that the ledger refused."""
    status = next(status for status in statuses if status != "ok")
    word, _, value = status.partition(" ")
    if word == "conflict":
        return Conflict(said("version_is", version=value))
    return Conflict(said(word if word in _REFUSED else "impossible"))
