"""What is known of each tool behind single sign-on: one file per tool."""

from haetae_edge.staff.presets.model import (
    STRIPPED,
    STRIPPED_FAMILIES,
    Identity,
    IdleExempt,
    NameFrom,
    NameUnusable,
    Preset,
    log_in_name,
)
from haetae_edge.staff.presets.registry import PRESETS

__all__ = [
    "PRESETS",
    "STRIPPED",
    "STRIPPED_FAMILIES",
    "Identity",
    "IdleExempt",
    "NameFrom",
    "NameUnusable",
    "Preset",
    "log_in_name",
]
