"""What some algorithms do before their first update, such as learning a model of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..algorithms.divergence import LOG_EVERY, refuse_divergence
from ..errors import OmarError
from ..random import mix

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..algorithms.base import Stage
    from ..runs.reporting import Reporter
    from .config import RunConfig
    from .minibatches import Minibatches

STAGES = 0x73746167  # sets the random numbers of stages apart from those of the updates


def prepare(
    stages: Sequence[Stage],
    config: RunConfig,
    minibatches: Minibatches,
    reporter: Reporter,
    stop: Callable[[], bool],
) -> bool:
    """All stages of an algorithm, from their beginning.

    Args:
        stages: In order.
        config: Of the run.
        minibatches: What they learn from.
        reporter: Is told of the progress.
        stop: Asked after every update.

    Returns:
        False where `stop` came first: nothing of the stages is kept.

    Raises:
        OmarError: A minibatch larger than a dataset, or a loss that is not finite.
    """
    options = config.options
    for number, stage in enumerate(stages):
        if stage.batch_size > minibatches.smallest:
            raise OmarError(
                f"{stage.title} takes minibatches of {stage.batch_size}, more than the dataset's "
                f"{minibatches.smallest} transitions"
            )
        key = mix(options.seed, STAGES, number)
        for step in range(stage.updates):
            reporter.preparing(stage.title, step, stage.updates)
            batch = minibatches.sample(stage.batch_size, seed=key, step=step)
            terms = stage.update(batch.scaled(config.backbone.reward_scale), step)
            if step % LOG_EVERY == 0:
                refuse_divergence(terms, options.seeds, step)
            if stop():
                return False
        stage.finish()
    reporter.paused()
    return True
