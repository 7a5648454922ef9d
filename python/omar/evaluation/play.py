"""Policies at play: all seeds at once, each in its own share of parallel worlds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..behaviors.policy import Policy
from ..envs import restart_clock, task_env
from ..errors import OmarError
from .policies import stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from ..envs.film import Film
    from ..tasks import Task
    from .policies import Actor


class Moment(NamedTuple):
    """One step of S seeds in W worlds each, as the N learners see it."""

    observations: Tensor  # [S, W, N, O]
    actions: Tensor  # [S, W, N, A]
    rewards: Tensor  # [S, W, N]


def play(
    policies: Sequence[Policy] | Actor,
    task: Task,
    *,
    worlds: int,
    seed: int,
    steps: int,
    seeds: int | None = None,
    prey: Policy | None = None,
    film: Film | None = None,
) -> Iterator[Moment]:
    """The steps of one episode of every world, which goes on past the time limit where `steps` asks for it.

    Args:
        policies: One of each seed, or an actor of all seeds.
        task: Task to act in.
        worlds: W.
        seed: Key of the start states.
        steps: How many. The time limit cuts no episode: what comes after it is what values of critics that
            bootstrap through truncations are about.
        seeds: S of an actor; 1 by default.
        prey: Who moves the prey of a task that has one; by default each policy meets its own.
        film: Is told of the start and of every step.

    Yields:
        Moments, whose tensors stay as they are.

    Raises:
        OmarError: A policy of another task, no prey for a task that has one, or an action that is NaN or
            infinite.
    """
    if isinstance(policies, Sequence):
        own = _check_learners(policies, task, prey)
        actor, seeds = stack(policies), len(policies)
    else:
        if task.has_prey and prey is None:
            raise OmarError(f"{task.name} has a prey: say which one moves it")
        actor, seeds = policies, seeds or 1
        own = [] if prey is None else [prey] * seeds
    env = task_env(task, num_envs=seeds * worlds, seed=seed)
    prey_actor = stack(own) if own else None
    observations = env.reset()
    if film is not None:
        film.begin(env)
    actions = observations.new_zeros(seeds, worlds, task.num_agents, task.action_size)
    learners = task.num_learners
    for step in range(steps):
        if steps > task.episode_length and step % (task.episode_length - 1) == 0:
            restart_clock(env)
        seen = observations.view(seeds, worlds, task.num_agents, -1)
        own_view = seen[:, :, :learners, : task.obs_size]
        chosen = actor(own_view)
        _check_finite(chosen)
        actions[:, :, :learners] = chosen
        if prey_actor is not None:
            actions[:, :, learners:] = prey_actor(seen[:, :, learners:, : task.obs_sizes[-1]])
        result = env.step(actions.view(seeds * worlds, task.num_agents, task.action_size))
        if film is not None:
            film.go_on(result)
        rewards = result.rewards[:, :learners].view(seeds, worlds, learners)
        yield Moment(own_view, chosen, rewards)
        observations = result.observations


def _check_learners(policies: Sequence[Policy], task: Task, prey: Policy | None) -> list[Policy]:
    """Refuses what cannot act in a task; returns the prey of each policy, none in a task without one."""
    if not policies:
        raise OmarError("an evaluation needs at least one policy")
    preys = []
    for policy in policies:
        if policy.task != task.name or policy.moves_prey:
            who = "prey" if policy.moves_prey else "learners"
            raise OmarError(
                f"a policy of the {who} of {policy.task} cannot act for the learners of {task.name}"
            )
        opponent = prey or policy.prey
        if opponent is not None:
            preys.append(opponent)
    return preys


def _check_finite(actions: Tensor) -> None:
    finite = actions.isfinite().flatten(start_dim=1).all(dim=1)
    if not bool(finite.all()):
        diverged = ", ".join(str(s) for s in (~finite).nonzero().flatten().tolist())
        raise OmarError(
            f"the policy of seed {diverged} gives actions that are not finite: its training diverged "
            f"(a lower --learning-rate may help)"
        )
