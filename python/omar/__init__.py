"""Offline multi-agent reinforcement learning with actor rectification (OMAR)."""
