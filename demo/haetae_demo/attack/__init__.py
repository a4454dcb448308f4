"""A simulated world of behaviour: honest people, attackers, and the truth about every request."""

from haetae_demo.attack.calls import Moment, Truth
from haetae_demo.attack.cases import CASES, Case
from haetae_demo.attack.play import play_case, play_warm_up
from haetae_demo.attack.shape import SHAPES, Shape, ordinary, small, strange
from haetae_demo.attack.town import Defence, Town, Undefended

__all__ = [
    "CASES",
    "SHAPES",
    "Case",
    "Defence",
    "Moment",
    "Shape",
    "Town",
    "Truth",
    "Undefended",
    "ordinary",
    "play_case",
    "play_warm_up",
    "small",
    "strange",
]
