"""The tasks as environments of other libraries, which are imported when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import OmarError
from ..tasks import get_task

if TYPE_CHECKING:
    from .views import Prey


def parallel_env(
    task: str,
    *,
    prey: Prey | None = None,
    render_mode: str | None = None,
    reward: str = "omar",
    num_agents: int | None = None,
) -> Any:
    """A task as PettingZoo's `ParallelEnv`, of one world.

    Agents have MPE's names: `agent_0`, ... in simple_spread; `adversary_0`, ... (the learners) and `agent_0`
    (the prey) in simple_tag and simple_world. The legs of half_cheetah are `agent_0` (back) and `agent_1`.
    Actions outside of [-1, 1] are clipped.

    Args:
        task: Name of a task.
        prey: Policy that moves the prey, such as `omar.load_prey("simple_tag")`; the learners alone are then
            agents, as in the paper. None: the prey is an agent like the others.
        render_mode: "rgb_array", "human" (a window that follows by itself; needs pygame) or None. Pictures of
            half_cheetah need OpenGL.
        reward: "omar", the paper's, or "lowe", that of the original simple_spread.
        num_agents: Agents and targets of simple_spread, 1..10; None: as many as the task has.

    Raises:
        OmarError: PettingZoo is not installed, an unknown task, or a prey for a task without one.
    """
    _require("pettingzoo")
    from .pettingzoo import ParallelTaskEnv

    return ParallelTaskEnv(task, prey=prey, render_mode=render_mode, reward=reward, num_agents=num_agents)


def joint_env(
    task: str,
    *,
    prey: Prey | None = None,
    render_mode: str | None = None,
    reward: str = "omar",
    num_agents: int | None = None,
) -> Any:
    """A task as a `gymnasium.Env` in which one agent moves all learners.

    Observations and actions are those of the learners side by side; the reward is their mean.

    Args:
        task: Name of a task.
        prey: Policy that moves the prey, such as `omar.load_prey("simple_tag")`; needed where there is one.
        render_mode: As in `parallel_env`.
        reward: As in `parallel_env`.
        num_agents: As in `parallel_env`.

    Raises:
        OmarError: Gymnasium is not installed, an unknown task, or a prey that is missing or not needed.
    """
    _require("gymnasium")
    _need_prey(task, prey)
    from .gymnasium import JointEnv

    return JointEnv(task, prey=prey, render_mode=render_mode, reward=reward, num_agents=num_agents)


def vector_env(
    task: str,
    num_envs: int,
    *,
    prey: Prey | None = None,
    reward: str = "omar",
    num_agents: int | None = None,
) -> Any:
    """`joint_env` in many worlds at once, as a `gymnasium.vector.VectorEnv`.

    An episode that ends begins anew in the same step (Gymnasium's SAME_STEP): its last observation is in
    `infos["final_obs"]`.

    Args:
        task: As in `joint_env`.
        num_envs: Number of worlds.
        prey: As in `joint_env`.
        reward: As in `joint_env`.
        num_agents: As in `joint_env`.

    Raises:
        OmarError: As `joint_env`.
    """
    _require("gymnasium")
    _need_prey(task, prey)
    from .gymnasium import JointVectorEnv

    return JointVectorEnv(task, num_envs, prey=prey, reward=reward, num_agents=num_agents)


def _need_prey(task: str, prey: Prey | None) -> None:
    if prey is None and get_task(task).has_prey:
        raise OmarError(f'{task} has a prey: give the policy that moves it, prey=omar.load_prey("{task}")')


def _require(package: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise OmarError(f'{package} is not installed: pip install "omar[{package}]"')
