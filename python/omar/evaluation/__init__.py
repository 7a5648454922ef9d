"""Evaluation: returns of episodes and the policies that act in them."""
