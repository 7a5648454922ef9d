"""The task registry against the figures of the paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omar.errors import OmarError
from omar.tasks import (
    BASELINES,
    QUALITIES,
    TASKS,
    References,
    get_quality,
    get_task,
    normalized_score,
)


def test_the_tasks_of_the_paper_are_registered_under_their_names():
    assert set(TASKS) == {"simple_spread", "simple_tag", "simple_world", "half_cheetah"}
    assert all(task.name == name for name, task in TASKS.items())


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_rows_are_complete(task):
    assert tuple(task.qualities) == QUALITIES
    assert len(task.obs_sizes) == task.num_agents >= task.num_learners
    assert len(set(task.obs_sizes[: task.num_learners])) == 1
    for row in task.qualities.values():
        assert tuple(row.scores) == BASELINES
        assert row.transitions % task.episode_length == 0


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


def test_unknown_names_are_refused_with_what_is_known():
    with pytest.raises(
        OmarError, match="unknown task 'simple_spreed': expected one of simple_spread, simple_tag"
    ):
        get_task("simple_spreed")
    with pytest.raises(
        OmarError, match="unknown quality 'best' of simple_tag: expected one of random, medium-replay"
    ):
        get_quality(get_task("simple_tag"), "best")
