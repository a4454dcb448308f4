"""The one way both middlewares let a request in: find the header, find the keys, verify.

Rules kept: exactly one header line, in the one spelling; anything that could be read as a second Passport
refuses the request. Not done here: HTTP itself.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from haetae_passport.claims import Passport
from haetae_passport.errors import PassportError, PassportInvalid, PassportMissing
from haetae_passport.headers import PASSPORT_HEADER, is_passport_header
from haetae_passport.io.jwks import PassportKeys
from haetae_passport.refusal import Refusal, refusal_for
from haetae_passport.verifier import PassportVerifier

_LOG: Final = logging.getLogger("haetae.passport")
_NAME: Final = PASSPORT_HEADER.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class PassportGate:
    """Admits requests of one service. `clock` gives Unix seconds."""

    verifier: PassportVerifier
    keys: PassportKeys
    clock: Callable[[], float] = time.time

    async def admit(self, headers: Iterable[tuple[str, str]]) -> Passport | Refusal:
        """The verified Passport of a request with these header lines, or the answer to send instead."""
        try:
            unverified = self.verifier.read_unverified(_only_passport(headers))
            keys = await self.keys.keys_for(unverified.unverified_kid)
            return self.verifier.verify_read(unverified, keys=keys, now=self.clock())
        except PassportError as error:
            _LOG.info("request refused: %s (%s)", error.code, error)
            return refusal_for(error, audience=self.verifier.policy.audience)


def _only_passport(headers: Iterable[tuple[str, str]]) -> str:
    lines = [(name, value) for name, value in headers if is_passport_header(name)]
    if not lines:
        raise PassportMissing("no Passport header")
    if len(lines) > 1:
        raise PassportInvalid("several-headers")
    name, value = lines[0]
    if name.lower() != _NAME:
        raise PassportInvalid("header-spelling")
    return value.strip(" \t")
