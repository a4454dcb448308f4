"""What the console says, in English and Korean: flat catalogues of texts with named places.

Rules kept: both languages have the same keys; a key that is missing is an error in every language, never an empty
place. A text with `count` may have a second form under `<key>.one`. What was wrong with a form is told by its code; the
English text comes with the fault itself. Does not read files.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from haetae_policy.faults import Fault

LANGUAGES: Final = ("en", "ko")
_QUALITY: Final = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*|\*)\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?")
_MOST: Final = 20


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one language; call it with a key and the values of its places.

    `faults`: what may be wrong, by code; empty for English. `other.<code>` there is for refusals without a text of
    their own.
    """

    language: str
    entries: Mapping[str, str]
    faults: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, key: str, **values: object) -> str:
        """Return a text; raises KeyError for a key there is not."""
        if values.get("count") == 1 and (one := self.entries.get(f"{key}.one")) is not None:
            return one.format(**values)
        return self.entries[key].format(**values)

    def word(self, group: str, value: str) -> str:
        """Return the word for a value of a closed group, or the value itself when it is a new one."""
        return self.entries.get(f"{group}.{value}", value)

    def told(self, message: str, *, code: str = "invalid") -> str:
        """Return what was wrong in this language; `code` is the refusal's, for messages that are no `Fault`."""
        if not self.faults:
            return message
        if isinstance(message, Fault):
            values = {name: self._value(name, value) for name, value in message.values.items()}
            return self.faults[message.code].format(**values)
        return self.faults[f"other.{code}"]

    def field(self, name: str) -> str:
        """Return the word for a field: by its whole dotted name or its last part, else the name itself."""
        return self.entries.get(f"field.{name}") or self.word("field", name.rpartition(".")[2])

    def _value(self, name: str, value: object) -> object:
        return self.word(name, str(value)) if name in ("role", "kind") else value


def choose_language(wish: str | None, kept: str | None, accept: str) -> str:
    """Return the language of a page: what was asked for, what was kept, what the browser prefers, else English."""
    for word in (wish, kept):
        if word in LANGUAGES:
            return word
    best, quality = LANGUAGES[0], 0.0
    for part in accept.split(",")[:_MOST]:
        found = _QUALITY.fullmatch(part)
        if found is None:
            continue
        language, weight = found[1].partition("-")[0].lower(), float(found[2] or 1)
        if language in LANGUAGES and weight > quality:
            best, quality = language, weight
    return best
