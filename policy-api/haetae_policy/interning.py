"""Shared values with small numbers: many policies name the same API or reason, each should be held once."""

from collections.abc import Hashable
from typing import Generic, TypeVar

_Value = TypeVar("_Value", bound=Hashable)


class Interner(Generic[_Value]):
    """Numbers for equal values, counted, so that the last release forgets the value. Number 0 is `zero` for
    ever.
    """

    __slots__ = ("_counts", "_free", "_numbers", "values")

    def __init__(self, zero: _Value) -> None:
        self.values: list[_Value] = [zero]
        self._counts = [1]
        self._numbers: dict[_Value, int] = {zero: 0}
        self._free: list[int] = []

    def acquire(self, value: _Value) -> int:
        """Return the number of `value`, counting one more user."""
        number = self._numbers.get(value)
        if number is not None:
            self._counts[number] += 1
            return number
        if self._free:
            number = self._free.pop()
            self.values[number] = value
            self._counts[number] = 1
        else:
            number = len(self.values)
            self.values.append(value)
            self._counts.append(1)
        self._numbers[value] = number
        return number

    def count(self, number: int, users: int = 1) -> None:
        """Count more users of a number that is in use."""
        self._counts[number] += users

    def find(self, value: _Value) -> int | None:
        """Return the number of `value` if it has one."""
        return self._numbers.get(value)

    def release(self, number: int) -> None:
        """Count one user less; after the last one the number may come to mean another value."""
        self._counts[number] -= 1
        if self._counts[number]:
            return
        del self._numbers[self.values[number]]
        self.values[number] = self.values[0]
        self._free.append(number)
