"""Benchmarks of the hot paths: one module per name that `python -m omar.bench` takes.

Every module offers `run(setup: Setup) -> Iterator[Record]`. Its bound (what the
machine can do at most) and, where torch can do the work too, torch's own figure come from the same run.
"""
