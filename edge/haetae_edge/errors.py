"""What can go wrong at the edge, and whose fault it is.

Two families, never mixed: `ConfigError` stops a start or a reload and speaks to the engineer who wrote the file;
`Refusal` ends one request and speaks, through the problem table, to the caller. A refusal carries facts for the log
and for support; none of them reach the caller (architecture rule: no rule, score or key detail leaks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class EdgeError(Exception):
    """Base of every error this package raises."""

    code: ClassVar[str] = "edge-error"


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One mistake in a configuration: where it is and what to write instead."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class ConfigError(EdgeError):
    """The configuration cannot be used; `problems` lists every mistake found, in file order."""

    code = "config-invalid"

    def __init__(self, problems: tuple[ConfigProblem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class Refusal(EdgeError):
    """This request ends here.

    `code` selects a row of `problems.PROBLEMS`. `reason` is a fixed, stable word for the log ("nonce-seen"); it never
    carries caller input. `headers` are added to the answer.
    """

    def __init__(self, code: str, *, reason: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(code)
        self.problem = code
        self.reason = reason
        self.headers = headers
