"""Theorem 1 of the paper (Pan et al. 2022, appendix A), in finite problems where every term can be computed.

One agent with O observations and A actions. `docs/theory.md` walks through the proof with these functions,
and says which of its steps need more than the appendix states.

Policies are matrices `[O, A]` of probabilities; a deterministic policy has a 1 in every row. For these the
divergence is the appendix's `D(o) = 1 / pi_beta(pi(o)|o) - 1`, and for all others its natural extension
`sum_a pi(a|o) (pi(a|o) / pi_beta(a|o) - 1)`, the one of conservative Q-learning (Kumar et al. 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .errors import OmarError

if TYPE_CHECKING:
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[np.float64]"

TOLERANCE = 1e-12  # of values, relative to the largest one
ROUNDING = 1e-9  # by how much probabilities may miss 1


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A finite problem of one agent, its behaviour policy and the actions that the search found.

    Attributes:
        rewards: `[O, A]`.
        transitions: `[O, A, O]`: probability of the next observation.
        start: `[O]`: probability of the first one.
        behaviour: `[O, A]`: pi_beta, positive everywhere.
        actions: `[A, d]`: where the actions lie, for distances.
        found: `[O, d]`: a_hat(o).
        gamma: Discount factor, in [0, 1).

    Raises:
        OmarError: Arrays of other shapes, numbers that are not finite, or no probabilities.
    """

    rewards: Array
    transitions: Array
    start: Array
    behaviour: Array
    actions: Array
    found: Array
    gamma: float

    def __post_init__(self) -> None:
        """Checks everything and takes float64 copies."""
        if np.ndim(self.rewards) != 2:
            raise OmarError(f"rewards must be [O, A], got {list(np.shape(self.rewards))}")
        o, a = np.shape(self.rewards)
        d = np.shape(self.actions)[-1] if np.ndim(self.actions) == 2 else 0
        shapes = {"rewards": (o, a), "transitions": (o, a, o), "start": (o,), "behaviour": (o, a)}
        for name, shape in (shapes | {"actions": (a, d), "found": (o, d)}).items():
            array = np.array(getattr(self, name), dtype=np.float64)
            if array.shape != shape:
                raise OmarError(f"{name} must be {list(shape)}, got {list(array.shape)}")
            if not np.isfinite(array).all():
                raise OmarError(f"{name} must be finite")
            object.__setattr__(self, name, array)
        for name in ("transitions", "start", "behaviour"):
            _check_probabilities(name, getattr(self, name))
        if not (self.behaviour > 0).all():
            raise OmarError("behaviour must be positive: D divides by it")
        if not 0 <= self.gamma < 1:
            raise OmarError(f"gamma must be in [0, 1), got {self.gamma}")

    @property
    def distances(self) -> Array:
        """`|a - a_hat(o)|^2`, `[O, A]`."""
        differences = self.actions[None] - self.found[:, None]
        squares: Array = (differences**2).sum(axis=2)
        return squares


def _check_probabilities(name: str, array: Array) -> None:
    if (array < 0).any() or (np.abs(array.sum(axis=-1) - 1) > ROUNDING).any():
        raise OmarError(f"{name} must be probabilities that add up to 1")


def deterministic(choices: npt.ArrayLike, actions: int) -> Array:
    """The policy that takes these actions: numbers `[O]` to `[O, A]`."""
    policy: Array = np.eye(actions)[np.asarray(choices)]
    return policy


def _next(problem: Problem, policy: Array) -> Array:
    """`P^pi` `[O, O]`: from an observation to the next one."""
    chain: Array = np.einsum("oa,oan->on", policy, problem.transitions)
    return chain


def _accumulate(problem: Problem, policy: Array, each: Array) -> Array:
    """`(I - gamma P^pi)^-1 x`: the discounted sum of x `[O]` along the policy's way."""
    matrix = np.eye(len(each)) - problem.gamma * _next(problem, policy)
    return np.asarray(np.linalg.solve(matrix, each), dtype=np.float64)


def occupancy(problem: Problem, policy: Array) -> Array:
    """`d^pi` `[O]`: how much of the discounted time is spent where; it adds up to 1."""
    matrix = np.eye(len(problem.start)) - problem.gamma * _next(problem, policy).T
    return np.asarray((1 - problem.gamma) * np.linalg.solve(matrix, problem.start), dtype=np.float64)


def values(problem: Problem, policy: Array) -> Array:
    """`V^pi` `[O]`: discounted returns."""
    return _accumulate(problem, policy, (policy * problem.rewards).sum(axis=1))


def expected_return(problem: Problem, policy: Array) -> float:
    """`J(pi)`: the discounted return from the start."""
    return float(problem.start @ values(problem, policy))


def divergence(problem: Problem, policy: Array) -> Array:
    """`D(pi, pi_beta)` `[O]`: 0 for the behaviour alone."""
    result: Array = (policy * (policy / problem.behaviour - 1)).sum(axis=1)
    return result


def conservative_step(problem: Problem, policy: Array, alpha: float, q: Array) -> Array:
    """The iterate of conservative Q-learning: `B^pi q - alpha (pi / pi_beta - 1)`, `[O, A]`."""
    following = (policy * q).sum(axis=1)
    penalty = policy / problem.behaviour - 1
    result: Array = problem.rewards + problem.gamma * problem.transitions @ following - alpha * penalty
    return result


def conservative_q(problem: Problem, policy: Array, alpha: float) -> Array:
    """The fixed point of `conservative_step`, `[O, A]`.

    Its values `sum_a pi Q` are `V^pi - alpha (I - gamma P^pi)^-1 D`: the divergence counts all along the way.
    """
    true = values(problem, policy)
    lost = alpha * _accumulate(problem, policy, divergence(problem, policy))
    following = problem.gamma * problem.transitions @ (true - lost)
    result: Array = problem.rewards + following - alpha * (policy / problem.behaviour - 1)
    return result


@dataclass(frozen=True, slots=True)
class Terms:
    """What a policy's objective consists of."""

    expected_return: float  # J(pi)
    divergence: float  # E_{d^pi} D(pi, pi_beta)
    distance: float  # E_{d^pi, a ~ pi} |a - a_hat(o)|^2


def terms(problem: Problem, policy: Array) -> Terms:
    """The terms of a policy."""
    shares = occupancy(problem, policy)
    return Terms(
        expected_return(problem, policy),
        float(shares @ divergence(problem, policy)),
        float(shares @ (policy * problem.distances).sum(axis=1)),
    )


def objective(problem: Problem, policy: Array, alpha: float, tau: float) -> float:
    """`(1 - tau) (J(pi) - alpha / (1 - gamma) E D) - tau E |a - a_hat|^2`, which OMAR's policy maximises."""
    found = terms(problem, policy)
    pessimistic = found.expected_return - alpha / (1 - problem.gamma) * found.divergence
    return (1 - tau) * pessimistic - tau * found.distance


def rectified_policy(problem: Problem, alpha: float, tau: float, *, stochastic: bool = True) -> Array:
    """The maximiser of `objective`, from every observation at once.

    In terms of occupancies the objective is concave, and it is that of a problem whose every step costs
    `alpha D` and `(1 - gamma) tau / (1 - tau) |a - a_hat|^2`: value iteration finds its maximum.

    Args:
        problem: With its behaviour and the actions found.
        alpha: Weight of conservatism, at least 0.
        tau: Weight of the rectification, in [0, 1).
        stochastic: Whether all policies compete, or deterministic ones alone.

    Raises:
        OmarError: alpha or tau out of range.
    """
    if not 0 <= alpha < float("inf"):
        raise OmarError(f"alpha must be at least 0, got {alpha}")
    if not 0 <= tau < 1:
        raise OmarError(f"tau must be in [0, 1), got {tau}")
    rewards = problem.rewards - (1 - problem.gamma) * tau / (1 - tau) * problem.distances
    value = np.zeros(len(problem.start))
    while True:
        q = rewards + problem.gamma * problem.transitions @ value
        if stochastic and alpha > 0:
            policy = _mixed(q, problem.behaviour, alpha)
        else:
            policy = deterministic((q - alpha / problem.behaviour).argmax(axis=1), q.shape[1])
        new = (policy * q).sum(axis=1) - alpha * divergence(problem, policy)
        change = np.abs(new - value).max()
        value = new
        if change <= TOLERANCE * max(1.0, np.abs(value).max()):
            return policy


def _mixed(q: Array, behaviour: Array, alpha: float) -> Array:
    """Maximises `sum_a pi q - alpha sum_a pi^2 / pi_beta` over the simplex, in every row.

    `pi = pi_beta max(0, q - level) / (2 alpha)`, with the level at which it adds up to 1.
    """
    order = np.argsort(-q, axis=1)
    ranked, weights = (np.take_along_axis(x, order, axis=1) for x in (q, behaviour))
    levels = (np.cumsum(weights * ranked, axis=1) - 2 * alpha) / np.cumsum(weights, axis=1)
    active = (ranked > levels).sum(axis=1)
    level = np.take_along_axis(levels, active[:, None] - 1, axis=1)
    policy = behaviour * np.maximum(q - level, 0) / (2 * alpha)
    result: Array = policy / policy.sum(axis=1, keepdims=True)
    return result


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides of the theorem's inequality `left >= right`."""

    left: float  # J(pi) - J(pi_beta)
    right: float  # divergence + distance - behaviour
    divergence: float  # alpha / (1 - gamma) E_{d^pi} D(pi, pi_beta)
    distance: float  # tau / (1 - tau) E_{d^pi} |pi - a_hat|^2
    behaviour: float  # tau / (1 - tau) E_{d^pi_beta, a ~ pi_beta} |a - a_hat|^2


def sides(problem: Problem, policy: Array, alpha: float, tau: float) -> Sides:
    """Both sides for a policy; the theorem speaks of `rectified_policy`."""
    own, behaviour = terms(problem, policy), terms(problem, problem.behaviour)
    weight = tau / (1 - tau)
    parts = (
        alpha / (1 - problem.gamma) * own.divergence,
        weight * own.distance,
        weight * behaviour.distance,
    )
    left = own.expected_return - behaviour.expected_return
    return Sides(left, parts[0] + parts[1] - parts[2], *parts)


def improved_policy(problem: Problem, alpha: float, tau: float, *, steps: int = 1000) -> Array:
    """What descending the actor's loss of the paper's equation (2) comes to, in every observation by itself.

    `pi(o) = argmax_a (1 - tau) Q(o, a) - tau |a - a_hat(o)|^2` for the conservative Q of the policy before,
    again and again, from the action that the behaviour prefers; the loss does not look at what a policy's
    later distances and visits will be.

    Raises:
        OmarError: The policies do not settle.
    """
    choices = problem.behaviour.argmax(axis=1)
    for _ in range(steps):
        policy = deterministic(choices, problem.behaviour.shape[1])
        q = conservative_q(problem, policy, alpha)
        better = ((1 - tau) * q - tau * problem.distances).argmax(axis=1)
        if (better == choices).all():
            return policy
        choices = better
    raise OmarError(f"the policies do not settle in {steps} steps")
