"""Behaviour policies and prey that ship with the package."""

from .policy import Behavior
from .prey import make_prey
from .shipped import card, load, load_prey

__all__ = ["Behavior", "card", "load", "load_prey", "make_prey"]
