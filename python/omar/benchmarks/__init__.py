"""Benchmarks of the hot paths: one module per name that `python -m omar.bench` takes.

Every module offers `run(setup: Setup) -> Iterator[Record]`. A figure stands beside its bound (what the
machine can do at most) and, where torch can do the work too, torch's own figure, measured in the same run.
"""
