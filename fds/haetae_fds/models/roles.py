"""The models by name, and what a model may do."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

NOVELTY: Final = "model_novelty"
LABELS: Final = "model_labels"
OFFLINE: Final = "model_offline"
#: A trained version that only watches, beside the one that acts.
CHALLENGER: Final = "model_challenger"
MODELS: Final = (NOVELTY, LABELS, OFFLINE, CHALLENGER)


class Role(StrEnum):
    """What a model may do. `enforce`: halve limits, challenge, throttle; `block`: refuse as well."""

    SHADOW = "shadow"
    ENFORCE = "enforce"
    BLOCK = "block"
