"""The task registry against the figures of the paper."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from omar.tasks import (
    BASELINES,
    PRESETS,
    QUALITIES,
    TASKS,
    References,
    get_quality,
    get_task,
    hyper_parameters,
    normalized_score,
)


def test_the_three_particle_tasks_are_registered_under_their_names():
    assert set(TASKS) >= {"simple_spread", "simple_tag", "simple_world"}
    assert all(task.name == name for name, task in TASKS.items())


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_rows_are_complete(task):
    assert tuple(task.qualities) == QUALITIES
    assert len(task.obs_sizes) == task.num_agents >= task.num_learners
    assert len(set(task.obs_sizes[: task.num_learners])) == 1
    for row in task.qualities.values():
        assert tuple(row.scores) == BASELINES
        assert row.transitions % task.episode_length == 0
        assert 0.0 <= row.tau <= 1.0
        assert row.alpha in {0.1, 0.5, 1.0, 5.0}


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_published_returns_agree_with_published_normalized_returns(task):
    for row in task.qualities.values():
        assert normalized_score(task, row.returns.mean) == pytest.approx(row.normalized, abs=0.6)


def test_only_simple_spread_has_no_prey():
    assert {name for name, task in TASKS.items() if task.has_prey} == {"simple_tag", "simple_world"}


def test_normalized_score_of_numbers_arrays_and_tensors():
    task = get_task("simple_spread")
    assert normalized_score(task, 159.8) == 0.0
    assert normalized_score(task, 516.8) == pytest.approx(100.0)
    returns = np.array([159.8, 338.3])
    np.testing.assert_allclose(normalized_score(task, returns), [0.0, 50.0], atol=1e-9)
    torch.testing.assert_close(normalized_score(task, torch.tensor([338.3])), torch.tensor([50.0]))


def test_a_prey_brings_its_own_references():
    own = References(random=10.0, expert=30.0, source="measured")
    assert normalized_score(get_task("simple_tag"), 20.0, own) == 50.0


def test_presets_differ_in_gamma_and_tau_only():
    task = get_task("simple_spread")
    released, paper = (hyper_parameters(task, "random", preset) for preset in PRESETS)
    assert (released.gamma, released.tau, released.alpha, released.updates) == (0.95, 1.0, 0.5, 6000)
    assert (paper.gamma, paper.tau) == (0.99, 0.5)
    assert dataclasses.replace(paper, gamma=0.95, tau=1.0) == released


def test_released_settings_of_the_other_tasks():
    tag, world = get_task("simple_tag"), get_task("simple_world")
    assert [hyper_parameters(tag, q).tau for q in QUALITIES] == [0.9, 0.9, 0.7, 0.9]
    assert [hyper_parameters(tag, q).alpha for q in QUALITIES] == [0.5, 0.5, 5.0, 5.0]
    assert [hyper_parameters(tag, q).updates for q in QUALITIES] == [2000, 1000, 2000, 2000]
    assert [hyper_parameters(world, q).tau for q in QUALITIES] == [1.0, 0.7, 0.1, 0.9]
    assert [hyper_parameters(world, q).alpha for q in QUALITIES] == [0.5, 1.0, 0.5, 5.0]
    assert [hyper_parameters(world, q).updates for q in QUALITIES] == [1000] * 4
    assert [hyper_parameters(world, q, "paper").tau for q in QUALITIES] == [0.5, 0.5, 0.7, 0.9]


def test_unknown_names_are_refused_with_what_is_known():
    with pytest.raises(
        ValueError, match="unknown task 'simple_spreed': expected one of simple_spread, simple_tag"
    ):
        get_task("simple_spreed")
    with pytest.raises(
        ValueError, match="unknown quality 'best' of simple_tag: expected one of random, medium-replay"
    ):
        get_quality(get_task("simple_tag"), "best")
    with pytest.raises(ValueError, match="unknown preset 'mine': expected one of released, paper"):
        hyper_parameters(get_task("simple_tag"), "random", "mine")
