"""Tries settings of the baselines, and keeps the table of docs/results/tuning.md.

    python benchmarks/tune.py simple_tag medium td3bc 2000 input_norm=dataset alpha=2.5   # one try
    python benchmarks/tune.py --table          # rewrites the table from the tries so far
    python benchmarks/tune.py --table --check  # fails when the table is not what they say

A try trains seed 100 on the dataset of seed 100: no table of results uses either. Settings that are not given
are those of preset `released`. Every try is a line of docs/results/tuning.jsonl, also a bad one.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import omar
from omar.runs.decode import encode
from omar.runs.files import write_atomically
from omar.tasks import QUALITIES, TASKS, get_task

SEED = 100
EVALUATE_EVERY = 500  # updates
TUNED = ("alpha", "beta", "beta_q", "advantage", "learning_rate", "input_norm")  # shown with every try
RESULTS = Path(__file__).parent.parent / "docs" / "results"
TRIES, PAGE = RESULTS / "tuning.jsonl", RESULTS / "tuning.md"
BLOCK = re.compile(r"(<!-- tries -->\n).*?(<!-- end -->\n)", re.DOTALL)


def tried() -> list[dict[str, Any]]:
    """All tries so far."""
    lines = TRIES.read_text().splitlines() if TRIES.is_file() else []
    return [json.loads(line) for line in lines]


def run(task: str, quality: str, algorithm: str, updates: int, settings: dict[str, Any]) -> dict[str, Any]:
    """One try."""
    with tempfile.TemporaryDirectory() as folder:
        config = omar.TrainConfig(
            task=task,
            dataset=quality,
            algorithm=algorithm,
            seeds=1,
            seed=SEED,
            data_seed=SEED,
            updates=updates,
            eval_every=EVALUATE_EVERY,
            checkpoint_every=updates,
            device="cpu",
            out=Path(folder) / "run",
            settings=settings,
        )
        result = omar.train(config)
    scores = {str(e.update): round(e.scores[0], 1) for e in result.evaluations if e.update}
    resolved = encode(result.config.backbone) | encode(result.config.algorithm)
    return {
        "task": task,
        "quality": quality,
        "algorithm": algorithm,
        "settings": {name: resolved[name] for name in TUNED if name in resolved} | settings,
        "scores": scores,
        "seed": SEED,
        "data_seed": SEED,
        "episodes": config.eval_episodes,
    }


def value_of(text: str) -> Any:
    """A number, or a word."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def row(found: dict[str, Any]) -> str:
    """A try as a row of the table, beside the paper's score."""
    paper = get_task(found["task"]).qualities[found["quality"]].scores.get(found["algorithm"])
    settings = ", ".join(f"{name} {value}" for name, value in found["settings"].items()) or "-"
    last = list(found["scores"].values())[-1]
    curve = " ".join(f"{score:.1f}" for score in found["scores"].values())
    published = "-" if paper is None else f"{paper.mean:.1f}"
    cells = (f"{found['task']} {found['quality']}", found["algorithm"], settings, curve, last, published)
    return f"| {' | '.join(map(str, cells))} |"


def table() -> str:
    """All tries, by set and algorithm."""
    order = [(task, quality) for task in TASKS for quality in QUALITIES]
    found = sorted(tried(), key=lambda t: (order.index((t["task"], t["quality"])), t["algorithm"]))
    head = (
        "| set | algorithm | settings | score every 500 updates | last | paper |\n|---|---|---|---|---|---|\n"
    )
    return head + "".join(f"{row(one)}\n" for one in found)


def filled(page: str) -> str:
    """The page with the table of all tries."""
    return BLOCK.sub(lambda match: match[1] + table() + match[2], page)


def main(arguments: list[str]) -> int:
    """Runs a try, or writes the table; returns the exit status."""
    if arguments[:1] != ["--table"]:
        task, quality, algorithm, updates, *pairs = arguments
        settings = {name: value_of(value) for name, value in (pair.split("=") for pair in pairs)}
        found = run(task, quality, algorithm, int(updates), settings)
        with TRIES.open("a") as tries:
            tries.write(json.dumps(found) + "\n")
        sys.stdout.write(f"{row(found)}\n")
        return 0
    before = PAGE.read_text()
    if "--check" in arguments:
        return int(before != filled(before))
    write_atomically(PAGE, filled(before).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
