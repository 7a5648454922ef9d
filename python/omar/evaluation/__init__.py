"""Evaluation: returns of episodes and the policies that act in them."""

from .returns import episode_returns
from .scores import Evaluated, evaluate

__all__ = ["Evaluated", "episode_returns", "evaluate"]
