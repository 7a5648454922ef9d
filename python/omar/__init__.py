"""Offline multi-agent reinforcement learning with actor rectification (OMAR)."""

from omar.replay import ReplayBuffer

__all__ = ["ReplayBuffer"]
