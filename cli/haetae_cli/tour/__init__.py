"""The scenarios of ``haetae demo app``, ``haetae demo sso`` and ``haetae up --check``."""

from haetae_cli.tour.place import Blocks, Outcome, Place, Step
from haetae_cli.tour.steps import STEPS
from haetae_cli.tour.walk import walk_through

__all__ = ["STEPS", "Blocks", "Outcome", "Place", "Step", "walk_through"]
