"""Folders of runs: files, checkpoints, interrupts."""
