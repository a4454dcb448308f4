"""What can be wrong with the material of an evaluation."""

from __future__ import annotations


class LabelsInvalid(ValueError):
    """A line of a labels file cannot be read. `line` counts from one."""

    code = "labels-invalid"

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"labels, line {line}: {what}")
        self.line = line
