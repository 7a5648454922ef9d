"""Sizes that no machine holds are refused before anything is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..algorithms import get_algorithm
from ..runs.memory import COPIES, FLOAT, check_fits, check_worlds

if TYPE_CHECKING:
    import torch

    from ..tasks import Task
    from .config import RunConfig


def check_memory(config: RunConfig, task: Task, device: torch.device) -> None:
    """Refuses a run whose networks, minibatches or worlds cannot fit, by a lower bound of what they take.

    Raises:
        OmarError: They cannot.
    """
    backbone, seeds = config.backbone, config.options.seeds
    members, h = seeds * task.num_learners, backbone.hidden
    algorithm = get_algorithm(config.options.algorithm)
    critics = backbone.num_critics if algorithm.has_critics else 0
    inputs = task.obs_size + task.action_size
    policy = h * (task.obs_size + h + task.action_size)
    weights = members * (policy + critics * h * (inputs + h))
    minibatch = members * backbone.batch_size * (2 * inputs + 2 * h)
    own = seeds * algorithm.footprint(config.algorithm, backbone, task)
    networks = FLOAT * (COPIES * weights + minibatch + own)
    remedy = ", ".join(("--hidden", "--batch-size", *algorithm.sized_by)) + " or --seeds"
    check_fits(networks, device, "networks and minibatches", remedy)
    check_worlds(sum(task.obs_sizes), seeds * config.eval_episodes, "--eval-episodes or --seeds")
