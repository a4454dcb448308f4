"""The scenario of ``haetae demo app`` and ``haetae up --check``."""

from haetae_cli.tour.place import Blocks, Outcome, Place, Step
from haetae_cli.tour.steps import STEPS, tour

__all__ = ["STEPS", "Blocks", "Outcome", "Place", "Step", "tour"]
