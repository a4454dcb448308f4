"""R14: a log-in that may not be the owner's, followed by what such log-ins are made for.

Sensitive calls ask for more, all that are known at once and before the first is made; reading stays open, and who
makes none notices nothing.
"""

from haetae_fds.decision import Action, Subject
from haetae_fds.facts import LOGIN, USER, Facts
from haetae_fds.finding import Detector, Finding, api_ref, number, ref
from haetae_fds.state import MINUTE, Suspicion

SECRETS = 3
# A new device, and a new network; a bad address and a bad client are further ones.
SIGNS = 2
MAX_APIS = 16


class Takeover(Detector):
    """Success after 3 secrets, or on a new device in a new network; sensitive APIs for 30 minutes."""

    name = "takeover"
    wants = LOGIN | USER

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        if f.user is None or f.user_key is None or f.user.suspicion is None:
            return None
        doubt = f.user.suspicion
        if f.event.auth is not None and not f.passed:
            return None
        if not f.sensitive and doubt.events > 1:
            return None
        return self._found(f, doubt)

    def _found(self, f: Facts, doubt: Suspicion) -> Finding | None:
        known = [api for row in f.sensitive_apis.values() if (api := ref(row)) is not None][:MAX_APIS]
        here = api_ref(f) if f.sensitive else None
        apis = [here] if here is not None else []
        apis += [api for api in known if api != here]
        if not apis:
            return None
        numbers = (
            number("secrets before success", doubt.creds, SECRETS)
            if doubt.creds >= SECRETS
            else number("signs of a stranger", doubt.signs, SIGNS),
        )
        return self.found(
            f, f"{doubt.reason}: sensitive calls need another proof", numbers, Subject(user=f.user_key),
            action=Action.CHALLENGE, api=apis[0], also=tuple(apis[1:]), events=doubt.sample, ttl=30 * MINUTE,
            campaign=f"user {f.user_key}",
        )  # fmt: skip
