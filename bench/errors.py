"""What can go wrong while measuring.

Every error here ends the run: a number taken while answers failed, or while a peer was not what it was said
to be, is worth less than no number.
"""

__all__ = ["BadAnswer", "BenchError", "NotAvailable", "NotStarted", "Stalled"]


class BenchError(Exception):
    """Something that makes the measurement worthless."""

    code = "bench"


class BadAnswer(BenchError):
    """A peer answered with another status than expected, broke its framing, or closed the connection."""

    code = "bad-answer"


class Stalled(BenchError):
    """No answer at all arrived for seconds."""

    code = "stalled"


class NotStarted(BenchError):
    """A process under test died or did not answer in time after its start."""

    code = "not-started"


class NotAvailable(BenchError):
    """A program or package that a row needs is not installed here; the row is left out and named."""

    code = "not-available"
