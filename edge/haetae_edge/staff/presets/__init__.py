"""What is known of each tool behind single sign-on: one file per tool."""

from haetae_edge.staff.presets.model import (
    Identity,
    IdleExempt,
    NameFrom,
    NameUnusable,
    Preset,
    is_stripped,
    log_in_name,
)
from haetae_edge.staff.presets.registry import PRESETS

__all__ = [
    "PRESETS",
    "Identity",
    "IdleExempt",
    "NameFrom",
    "NameUnusable",
    "Preset",
    "is_stripped",
    "log_in_name",
]
