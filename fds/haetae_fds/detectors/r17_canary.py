"""R17: somebody touched what nobody honest knows of: a decoy account, object or route."""

from haetae_fds.decision import Subject
from haetae_fds.facts import DECOY, Facts
from haetae_fds.finding import Detector, Finding, at_address, number
from haetae_fds.state import HOUR


class Canary(Detector):
    """One touch is enough; the narrowest verified subject is refused."""

    name = "canary"
    wants = DECOY

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        event = f.event
        if event.sess is not None and f.user_key is not None:
            subject = Subject(session=event.sess, user=f.user_key)
        elif f.user_key is not None and f.ip:
            subject = Subject(user=f.user_key, ip=f.ip)
        elif f.device is not None and f.ip:
            subject = Subject(device=event.dev, ip=f.ip)
        elif f.ip:
            subject = at_address(f, strangers=True)
        else:
            return None
        touched = (number("decoys touched", 1, 0),)
        return self.found(f, f"a decoy {f.decoy} was touched", touched, subject, events=(event.id,), ttl=HOUR)
