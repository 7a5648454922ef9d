"""Policies, their files, and those that ship with the package."""

from .find import choose_prey, load_prey, read_prey
from .policy import Policy
from .policy_file import load_policies, load_policy, save_policies
from .shipped import card, load

__all__ = [
    "Policy",
    "card",
    "choose_prey",
    "load",
    "load_policies",
    "load_policy",
    "load_prey",
    "read_prey",
    "save_policies",
]
