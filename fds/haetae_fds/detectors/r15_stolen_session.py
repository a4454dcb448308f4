"""R15: one session, two clients in two networks, both alive.

Only the second use is refused. Somebody on the move keeps the client; a second program at home keeps the network. Who
speaks as the victim's client does is betrayed by the session being here and there at once: nobody goes home and away
again several times in ten minutes. Telephones do, between a weak network at home and their carrier's, and keep their
peace, also where nothing says whose network it is, for a while; everybody else is asked for more where the owner never
was. Where people have devices, one use without the device the session always had is enough.
"""

from haetae_fds.decision import Action, Number, Subject
from haetae_fds.facts import SESSION, Facts
from haetae_fds.finding import Detector, Finding, number
from haetae_fds.state import HOUR, MIN10, SETTLED, Session

TURNS = 4
UNKNOWN = 3
# No device, and a new network.
SIGNS = 2

Use = tuple[str, str, str, str | None]


class StolenSession(Detector):
    """A second client in another system within ten minutes of the first; in a known one, only if the first goes on.

    The same client: four times from a network the user is at home in to a strange one or back, within ten minutes;
    three times as often where the kind of network is not known; once without the device that its user always had.
    """

    name = "stolen_session"
    wants = SESSION

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        session = f.session
        if session is None or session.first is None:
            return None
        if f.bare:
            signs = number("signs of a stranger", SIGNS, SIGNS)
            return self._asked(f, session, "a session is used without its device in a new network", signs)
        return self._two_clients(f, session, session.first) or self._here_and_there(f, session)

    def _two_clients(self, f: Facts, session: Session, first: Use) -> Finding | None:
        if not session.others:
            return None
        window = MIN10 / self.limit(f, 1.0)
        if f.client == first[0]:
            for use, at in session.others.items():
                if 0 <= f.now - at <= window and use[1] != f.system:
                    return self._found(f, use, f.now - at, window)
            return None
        gap = abs(f.now - session.first_at)
        since = None if f.user is None else f.user.homes.known_since()
        strange = since is not None and f.now - since >= SETTLED and f.user is not None
        strange = strange and f.user is not None and not f.user.homes.settled(f.system, f.now)
        if gap > window or not strange or f.client is None:
            return None
        return self._found(f, (f.client, f.system, f.ip, None), gap, window)

    def _here_and_there(self, f: Facts, session: Session) -> Finding | None:
        if session.turns is None or f.user is None or not f.ip:
            return None
        if f.device is not None and f.user.homes.settled(f"d:{f.event.dev}", f.now):
            return None
        kind = None if f.place is None else f.place.kind
        turns, limit = session.turns.count(f.now), self.limit(f, TURNS if kind is not None else UNKNOWN * TURNS)
        if turns < limit or f.user.homes.settled(f.system, f.now) or kind == "mobile":
            return None
        times = number("times from one to the other", turns, limit)
        return self._asked(f, session, "one session is used in two networks at once", times)

    def _asked(self, f: Facts, session: Session, what: str, sign: Number) -> Finding:
        return self.found(
            f, what, (sign,), Subject(session=f.event.sess, ip=f.ip), action=Action.CHALLENGE, events=session.sample,
            ttl=HOUR, campaign=f"session {f.event.sess}",
        )  # fmt: skip

    def _found(self, f: Facts, use: Use, gap: int, window: float) -> Finding:
        subjects = [Subject(session=f.event.sess, client=use[0])]
        if use[2]:
            subjects.insert(0, Subject(session=f.event.sess, ip=use[2]))
        return self.found(
            f, "one session is used by two clients in two networks",
            (number("uses within seconds of each other", window / max(1, gap), 1),), *subjects,
            events=() if f.session is None else f.session.sample, ttl=HOUR, campaign=f"session {f.event.sess}",
        )  # fmt: skip
