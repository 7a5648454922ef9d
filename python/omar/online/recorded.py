"""The online training whose replay buffer is the medium-replay dataset: its settings and transitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import OmarError
from ..threads import one_thread
from .collection import CollectionSettings
from .matd3 import Matd3Settings
from .training import OnlineTraining, training_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from ..behaviors.policy import Policy
    from ..tasks import Task


@dataclass(frozen=True, slots=True)
class ReplayRecipe:
    """A training towards the medium level, as long as the published set."""

    matd3: Matd3Settings
    collection: CollectionSettings

    @property
    def transitions(self) -> int:
        """Length of the training, the warm-up included."""
        c = self.collection
        steps = -(-c.warmup // c.worlds) - 1 + -(-c.updates // c.updates_per_step)
        return steps * c.worlds


def _recipe(
    transitions: int,
    *,
    warmup: int,
    updates_per_step: int,
    learning_rate: float,
    reward_scale: float = 0.1,
    worlds: int = 25,
) -> ReplayRecipe:
    """Constant learning rate, so that a training has no end to be aware of."""
    updates = ((transitions - warmup) // worlds + 1) * updates_per_step
    return ReplayRecipe(
        Matd3Settings(
            learning_rate=learning_rate, final_learning_rate=learning_rate, reward_scale=reward_scale
        ),
        CollectionSettings(
            updates=updates,
            worlds=worlds,
            updates_per_step=updates_per_step,
            warmup=warmup,
            capacity=transitions,
        ),
    )


REPLAY_RECIPES: Mapping[str, ReplayRecipe] = {
    "simple_spread": _recipe(97_500, warmup=27_500, updates_per_step=2, learning_rate=1e-3),
    # Rewards unscaled, which weigh more against the penalty on saturated actions: scaled as in the other
    # tasks, two of five trainings had a normalized return below 7 at their end, and the others 43 to 63.
    "simple_tag": _recipe(62_500, warmup=14_000, updates_per_step=2, learning_rate=2e-3, reward_scale=1.0),
    "simple_world": _recipe(80_000, warmup=45_000, updates_per_step=1, learning_rate=2e-3),
}


def replay_recipe(task: str) -> ReplayRecipe:
    """The recorded training of a task.

    Raises:
        OmarError: None is recorded.
    """
    if task not in REPLAY_RECIPES:
        raise OmarError(f"no online training of {task} is recorded")
    return REPLAY_RECIPES[task]


def medium_replay(
    task: Task, transitions: int, *, seed: int, prey: Policy | None
) -> Iterator[dict[str, Tensor]]:
    """The first transitions of the recorded training, whole episodes in the order they were collected.

    Args:
        task: One of REPLAY_RECIPES.
        transitions: A multiple of the episode length, at most the recipe's.
        seed: Another one gives another training.
        prey: The frozen prey of a task that has one.

    Yields:
        Columns observations, actions, rewards and next_observations of all agents, `[episodes, 25, A, ...]`.

    Raises:
        OmarError: No recipe for the task, or more transitions than it has.
    """
    recipe = replay_recipe(task.name)
    if not 0 < transitions <= recipe.transitions:
        raise OmarError(
            f"the recorded training of {task.name} has {recipe.transitions:,} transitions, "
            f"{transitions:,} were asked for"
        )
    training = OnlineTraining(task, recipe.matd3, recipe.collection, seed=seed, prey=prey)
    left = transitions // task.episode_length
    with one_thread():
        for block in training_blocks(training):
            episodes = min(left, recipe.collection.worlds)
            yield {name: column[:episodes] for name, column in block.items()}
            left -= episodes
            if left == 0:
                return
