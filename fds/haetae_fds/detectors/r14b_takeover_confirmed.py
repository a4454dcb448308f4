"""R14b: a guessed log-in went on to a sensitive call. The identity service is asked to disable the account."""

from haetae_fds.decision import Action, Subject
from haetae_fds.facts import USER, Facts
from haetae_fds.finding import Detector, Finding, api_ref, number
from haetae_fds.state import HOUR

SECRETS = 3


class TakeoverConfirmed(Detector):
    """Success after 3 secrets from where the account was never at home, and a sensitive call."""

    name = "takeover_confirmed"
    wants = USER

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        doubt = None if f.user is None else f.user.suspicion
        if doubt is None or not f.sensitive or doubt.creds < SECRETS:
            return None
        numbers = (number("secrets before success", doubt.creds, SECRETS),)
        return self.found(
            f, "a guessed log-in went on to a sensitive call", numbers,
            Subject(user=f.user_key), action=Action.ALERT, api=api_ref(f), events=doubt.sample, ttl=HOUR, approval=True,
            proposal="disable_account", campaign=f"user {f.user_key}",
        )  # fmt: skip
