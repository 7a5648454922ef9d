"""Theorem 1 of the paper in random finite problems, where it is tight, and where a step needs more."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omar.errors import OmarError
from omar.theory import (
    Problem,
    conservative_q,
    conservative_step,
    deterministic,
    divergence,
    expected_return,
    improved_policy,
    objective,
    occupancy,
    rectified_policy,
    sides,
    values,
)

DOCS = Path(__file__).parents[2] / "docs"


@st.composite
def problems(draw):
    """Problems of up to 5 observations and 4 actions, some with transitions and rewards of all sizes."""
    seed, o, a, d = (draw(st.integers(0, 2**32 - 1)), *(draw(st.integers(1, n)) for n in (5, 4, 2)))
    rng = np.random.default_rng(seed)
    sharp = draw(st.sampled_from([0.05, 1.0, 20.0]))
    return Problem(
        rewards=rng.normal(size=(o, a)) * draw(st.sampled_from([0.01, 1.0, 30.0])),
        transitions=rng.dirichlet(np.full(o, sharp) + 1e-3, size=(o, a)),
        start=rng.dirichlet(np.ones(o)),
        behaviour=(rng.dirichlet(np.full(a, sharp), size=o) + 0.01) / (1 + 0.01 * a),
        actions=rng.uniform(-1, 1, (a, d)),
        found=rng.uniform(-1, 1, (o, d)),
        gamma=draw(st.sampled_from([0.0, 0.5, 0.9, 0.97])),
    )


def random_policy(problem, seed, sharp=0.3):
    o, a = problem.rewards.shape
    return np.random.default_rng(seed).dirichlet(np.full(a, sharp), size=o)


weights = st.tuples(st.sampled_from([0.0, 0.01, 0.3, 5.0]), st.floats(0, 0.95))


class TestTheorem:
    @settings(max_examples=150, deadline=None)
    @given(problems(), weights)
    def test_it_holds_where_all_policies_compete(self, problem, weight):
        alpha, tau = weight
        found = sides(problem, rectified_policy(problem, alpha, tau), alpha, tau)
        size = abs(found.left) + found.divergence + found.distance + found.behaviour
        assert found.left >= found.right - 1e-8 * (1 + size)

    @settings(max_examples=100, deadline=None)
    @given(problems(), weights, st.integers(0, 2**32 - 1), st.sampled_from([0.05, 1.0]))
    def test_no_other_policy_is_better(self, problem, weight, seed, sharp):
        alpha, tau = weight
        best = objective(problem, rectified_policy(problem, alpha, tau), alpha, tau)
        for other in (random_policy(problem, seed, sharp), problem.behaviour):
            value = objective(problem, other, alpha, tau)
            assert best >= value - 1e-8 * (1 + abs(best) + abs(value))

    @settings(max_examples=60, deadline=None)
    @given(problems(), weights)
    def test_no_other_deterministic_policy_is_better_than_the_best_of_them(self, problem, weight):
        alpha, tau = weight
        o, a = problem.rewards.shape
        best = objective(problem, rectified_policy(problem, alpha, tau, stochastic=False), alpha, tau)
        every = np.stack(np.meshgrid(*[range(a)] * o), axis=-1).reshape(-1, o)
        values_ = [objective(problem, deterministic(choices, a), alpha, tau) for choices in every]
        assert best == pytest.approx(max(values_), rel=1e-8, abs=1e-8)

    @settings(deadline=None)
    @given(problems(), st.floats(0.01, 5), st.floats(0, 0.9))
    def test_it_is_tight_where_every_action_is_worth_the_same(self, problem, alpha, tau):
        """Rewards that pay back the distance: the behaviour is the maximiser, and both sides are 0."""
        paid = (1 - problem.gamma) * tau / (1 - tau) * problem.distances
        equal = replace(problem, rewards=1.0 + paid)
        policy = rectified_policy(equal, alpha, tau)
        np.testing.assert_allclose(policy, equal.behaviour, atol=1e-6)
        found = sides(equal, policy, alpha, tau)
        assert found.left == pytest.approx(found.right, abs=1e-5)

    @settings(deadline=None)
    @given(problems(), st.floats(0.1, 0.9), st.integers(0, 2**32 - 1))
    def test_it_is_tight_for_every_policy_without_conservatism(self, problem, tau, seed):
        """The same rewards and alpha = 0: all policies are maximisers, also those far from the behaviour."""
        paid = (1 - problem.gamma) * tau / (1 - tau) * problem.distances
        equal = replace(problem, rewards=1.0 + paid)
        found = sides(equal, random_policy(equal, seed), 0.0, tau)
        assert found.left == pytest.approx(found.right, abs=1e-8)


class TestFixedPoint:
    @settings(max_examples=60, deadline=None)
    @given(problems(), st.floats(0, 3), st.integers(0, 2**32 - 1))
    def test_it_is_the_iterates(self, problem, alpha, seed):
        policy = random_policy(problem, seed)
        q = conservative_q(problem, policy, alpha)
        again = conservative_step(problem, policy, alpha, q)
        np.testing.assert_allclose(again, q, rtol=1e-8, atol=1e-8 * (1 + np.abs(q).max()))

    def test_the_iterate_converges_to_it(self):
        problem = some_problem()
        policy = deterministic([1, 0], 2)
        q = np.zeros((2, 2))
        for _ in range(400):
            q = conservative_step(problem, policy, 0.7, q)
        np.testing.assert_allclose(q, conservative_q(problem, policy, 0.7), rtol=1e-9)

    @settings(max_examples=60, deadline=None)
    @given(problems(), st.floats(0, 3), st.integers(0, 2**32 - 1))
    def test_its_value_is_the_return_less_the_divergence_on_the_way(self, problem, alpha, seed):
        policy = random_policy(problem, seed)
        value = float(problem.start @ (policy * conservative_q(problem, policy, alpha)).sum(axis=1))
        shares = occupancy(problem, policy)
        assert shares.sum() == pytest.approx(1)
        lost = alpha / (1 - problem.gamma) * float(shares @ divergence(problem, policy))
        expected = expected_return(problem, policy) - lost
        assert value == pytest.approx(expected, rel=1e-7, abs=1e-7 * (1 + abs(lost)))

    def test_a_deterministic_policys_divergence_is_the_appendixs(self):
        problem = some_problem()
        policy = deterministic([1, 0], 2)
        np.testing.assert_allclose(divergence(problem, policy), [1 / 0.25 - 1, 1 / 0.5 - 1])

    def test_equation_6_as_printed_leaves_out_later_steps(self):
        problem, policy = some_problem(), deterministic([1, 0], 2)
        value = (policy * conservative_q(problem, policy, 0.7)).sum(axis=1)
        printed = values(problem, policy) - 0.7 * divergence(problem, policy)
        assert (printed > value + 1).all()
        myopic = replace(problem, gamma=0.0)
        value = (policy * conservative_q(myopic, policy, 0.7)).sum(axis=1)
        np.testing.assert_allclose(value, values(myopic, policy) - 0.7 * divergence(myopic, policy))


def some_problem(**changes):
    entries = {
        "rewards": [[0.0, 1.0], [2.0, 0.5]],
        "transitions": [[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [1.0, 0.0]]],
        "start": [1.0, 0.0],
        "behaviour": [[0.75, 0.25], [0.5, 0.5]],
        "actions": [[-1.0], [1.0]],
        "found": [[1.0], [1.0]],
        "gamma": 0.9,
    }
    return Problem(**(entries | changes))


class TestCounterexamples:
    def test_deterministic_policies_need_not_hold_it_against_a_behaviour_that_mixes(self):
        tie = Problem([[1.0, 1.0]], [[[1.0], [1.0]]], [1.0], [[0.5, 0.5]], [[-1.0], [1.0]], [[1.0]], 0.9)
        found = sides(tie, rectified_policy(tie, 0.5, 0.0, stochastic=False), 0.5, 0.0)
        assert (found.left, found.right) == pytest.approx((0.0, 5.0))
        found = sides(tie, rectified_policy(tie, 0.5, 0.0), 0.5, 0.0)
        assert (found.left, found.right) == pytest.approx((0.0, 0.0))

    def test_descending_the_loss_need_not_maximise_the_objective(self):
        wrong = Problem([[0.5, 0.0]], [[[1.0], [1.0]]], [1.0], [[0.99, 0.01]], [[0.0], [1.0]], [[1.0]], 0.9)
        settled = improved_policy(wrong, 0.0, 0.5)
        np.testing.assert_array_equal(settled, [[0.0, 1.0]])
        found = sides(wrong, settled, 0.0, 0.5)
        assert (found.left, found.right) == pytest.approx((-4.95, -0.99))
        best = rectified_policy(wrong, 0.0, 0.5)
        assert objective(wrong, best, 0.0, 0.5) > objective(wrong, settled, 0.0, 0.5)


def test_the_page_shows_what_the_script_prints():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import theory as t; print(t.fixed_point(), t.inequality(), t.counterexamples(), sep='\\n\\n')",
        ],
        cwd=DOCS,
        capture_output=True,
        text=True,
        check=True,
    )
    page = (DOCS / "theory.md").read_text(encoding="utf-8")
    for table in done.stdout.strip().split("\n\n"):
        assert table in page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": [1.0]}, r"rewards must be \[O, A\], got \[1\]"),
        ({"start": [1.0]}, r"start must be \[2\], got \[1\]"),
        ({"actions": [1.0, 2.0]}, r"actions must be \[2, 0\], got \[2\]"),
        ({"found": [[np.nan], [1.0]]}, "found must be finite"),
        ({"start": [0.5, 0.6]}, "start must be probabilities that add up to 1"),
        ({"behaviour": [[1.5, -0.5], [0.5, 0.5]]}, "behaviour must be probabilities"),
        ({"behaviour": [[1.0, 0.0], [0.5, 0.5]]}, "behaviour must be positive: D divides by it"),
        ({"gamma": 1.0}, r"gamma must be in \[0, 1\), got 1.0"),
    ],
)
def test_messages_of_a_problem(changes, message):
    with pytest.raises(OmarError, match=message):
        some_problem(**changes)


@pytest.mark.parametrize(
    ("alpha", "tau", "message"),
    [(-1.0, 0.0, "alpha must be at least 0, got -1.0"), (1.0, 1.0, r"tau must be in \[0, 1\), got 1.0")],
)
def test_messages_of_the_weights(alpha, tau, message):
    with pytest.raises(OmarError, match=message):
        rectified_policy(some_problem(), alpha, tau)


def test_message_policies_that_do_not_settle():
    with pytest.raises(OmarError, match="the policies do not settle in 0 steps"):
        improved_policy(some_problem(), 1.0, 0.5, steps=0)
