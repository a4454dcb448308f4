"""The arithmetic of the replay window (app channel, section 3): one set of constants for acceptance and for
memory.

Rules kept: acceptance and the life of a nonce record are computed from the same `Window`, so they cannot
drift apart.

Not done here: the claim itself, one atomic `SET … NX PX` in the store, made only after the signature
verified.
"""

import math
from dataclasses import dataclass

from haetae_crypto.errors import ClockSkew


@dataclass(frozen=True, slots=True)
class Window:
    """How long signatures live and how far clocks may differ; all in whole seconds.

    Why the record of a nonce outlives every acceptance of its signature: let gateway A claim the nonce when
    its clock reads `now`, with a record that lives (expires - now) + 2 * skew + margin. It vanishes when A's
    clock reads expires + 2 * skew + margin. Another gateway B accepts the signature only while B's clock
    reads at most expires + skew. Clocks of gateways differ by at most `skew`, so A's clock then reads at most
    expires + 2 * skew, which is `margin` before the record vanishes. The margin covers what the store's own
    timer and the way to it lose.

    Raises ValueError when a number is negative or the lifetime is zero.
    """

    max_lifetime: int = 30
    skew: int = 5
    margin: int = 5

    def __post_init__(self) -> None:
        if self.max_lifetime < 1 or self.skew < 0 or self.margin < 1:
            raise ValueError("a window needs a lifetime and a margin of at least 1 s and no negative skew")

    def check(self, *, created: int, expires: int, now: float) -> None:
        """Whether a signature with these times (Unix seconds) may be accepted at `now`. Raises ClockSkew."""
        if not 0 < expires - created <= self.max_lifetime:
            raise ClockSkew(f"a signature lives at least 1 s and at most {self.max_lifetime} s")
        if created > now + self.skew:
            raise ClockSkew("the signature is from the future")
        if now > expires + self.skew:
            raise ClockSkew("the signature has expired")

    def nonce_ttl_ms(self, *, expires: int, now: float) -> int:
        """Milliseconds for which a nonce claimed at `now` must be remembered; see the class for the proof.

        Raises ClockSkew when the signature is no longer acceptable at `now`, as after a slow upload.
        """
        if now > expires + self.skew:
            raise ClockSkew("the signature expired before its nonce was claimed")
        return math.ceil((expires - now + 2 * self.skew + self.margin) * 1000)
