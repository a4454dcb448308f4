"""R13: a scanner asks for paths that no route has. The same missing file over and over is a broken page, not a scan."""

from haetae_fds.decision import Subject
from haetae_fds.facts import MISSING, Facts
from haetae_fds.finding import Detector, Finding, at_address, number
from haetae_fds.state import HOUR

PATHS = 10
SLOW_PATHS = 30
ALONE = 15


class Scanner(Detector):
    """10 different missing paths in a minute, or 30 in ten minutes; more where established identities live.

    15 in ten minutes where nobody lives and little else was ever asked for.
    """

    name = "scanner"
    wants = MISSING

    def observe(self, f: Facts) -> Finding | None:
        """See the class."""
        place = f.place
        missing = None if place is None else place.missing
        if place is None or missing is None:
            return None
        fast, slow = missing.paths.count(f.now), missing.paths_long.count(f.now)
        searching = f.pop == 0 and 4 * place.fine <= slow
        for name, count, base in (
            ("in a minute", fast, PATHS + 0.5 * f.pop),
            ("in ten minutes", slow, ALONE if searching else SLOW_PATHS + f.pop),
        ):
            limit = self.limit(f, base)
            if count >= limit:
                subject = at_address(f, strangers=True)
                if f.user_key is not None:
                    subject = Subject(user=f.user_key, ip=f.ip)
                return self.found(
                    f, "paths are tried that do not exist", (number(f"paths {name}", count, limit),), subject,
                    events=missing.sample, ttl=HOUR,
                )  # fmt: skip
        return None
