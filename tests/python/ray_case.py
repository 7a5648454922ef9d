"""Two nodes work on two cells; one node is killed in the middle. Run by test_ray.py in a process of its own.

    python ray_case.py FOLDER

Prints what happened as JSON. Ray warns and keeps sockets open, which the filters of the tests do not allow.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from ray.cluster_utils import Cluster

from matrix_cases import small_cell
from omar.matrix.cell import Cell
from omar.matrix.cluster import RayCluster

KILLED_AT = 100  # the update that both cells have reached when a node is killed
CELLS: list[Cell] = [
    small_cell("cql", updates=updates, eval_every=200, checkpoint_every=25) for updates in (600, 601)
]


def main(folder: Path) -> None:
    """Works on CELLS and kills the second node."""
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    crew = RayCluster(folder / "work", address=nodes.address, threads=1)
    events, at, killed = [], dict.fromkeys((cell.key for cell in CELLS), 0), False
    for event in crew.run(CELLS, lambda: False):
        if event is None:
            continue
        events.append(asdict(event))
        at[event.key] = max(at[event.key], event.update)
        if not killed and min(at.values()) >= KILLED_AT:
            killed = True
            nodes.remove_node(second, allow_graceful=False)
    crew.disconnect()
    nodes.shutdown()
    sys.stdout.write("\n" + json.dumps({"events": events, "killed": killed}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
