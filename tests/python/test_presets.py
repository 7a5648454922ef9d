"""Presets of every algorithm against the paper's appendix and the released code's figures."""

import dataclasses

import pytest

from omar.algorithms import ALGORITHMS, PRESETS, Backbone
from omar.algorithms.cql import ALPHA
from omar.algorithms.omar import RELEASED_TAU
from omar.tasks import QUALITIES, TASKS


def presets(algorithm, task, name="released"):
    return [ALGORITHMS[algorithm].preset(task, quality, name) for quality in QUALITIES]


@pytest.mark.parametrize(
    ("task", "updates", "alpha", "tau"),
    [
        ("simple_spread", [6000, 2000, 2000, 2000], [0.5, 1.0, 5.0, 5.0], [1.0, 1.0, 1.0, 1.0]),
        ("simple_tag", [2000, 1000, 2000, 2000], [0.5, 0.5, 5.0, 5.0], [0.9, 0.9, 0.7, 0.9]),
        ("simple_world", [1000, 1000, 1000, 1000], [0.5, 1.0, 0.5, 5.0], [1.0, 0.7, 0.1, 0.9]),
    ],
)
def test_released_figures(task, updates, alpha, tau):
    omar, cql, bc = (presets(name, task) for name in ("omar", "cql", "bc"))
    ours = {"afterstate", "asymmetric"}  # which the authors do not have
    papers = [name for name in ALGORITHMS if name not in ours]
    assert all([p.updates for p in presets(name, task)] == updates for name in papers)
    assert [p.settings.alpha for p in omar] == [p.settings.alpha for p in cql] == alpha
    assert [p.settings.tau for p in omar] == tau
    assert {p.backbone for p in [*omar, *bc]} == {
        Backbone(
            gamma=0.95,
            batch_size=1024,
            learning_rate=0.01,
            polyak_rate=0.01,
            hidden=64,
            clip_norm=0.5,
            action_penalty=1e-3,
            decay_updates=0,
            critic="independent",
            num_critics=2,
            critic_norm="none",
            reward_scale=1.0,
            input_norm="batch",
        )
    }


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_paper_differs_in_gamma_and_tau_only(task):
    released, paper = presets("omar", task), presets("omar", task, "paper")
    assert [p.settings.tau for p in paper] == [0.5, 0.5, 0.7, 0.9]
    assert {p.backbone.gamma for p in paper} == {0.99}
    for ours, theirs in zip(released, paper, strict=True):
        assert dataclasses.replace(theirs.settings, tau=ours.settings.tau) == ours.settings
        assert dataclasses.replace(theirs.backbone, gamma=0.95) == ours.backbone
        assert theirs.updates == ours.updates


def test_every_task_of_the_paper_has_a_row():
    assert set(ALPHA) == set(RELEASED_TAU) == set(TASKS)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_other_qualities_and_tasks_have_presets_too(algorithm, name):
    of = ALGORITHMS[algorithm].preset
    assert of("simple_tag", "demonstrations", name) == of("simple_tag", "random", name)
    assert of("my_task", "random", name).settings == ALGORITHMS[algorithm].Settings()


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_no_setting_has_the_name_of_another_option(algorithm):
    from omar.offline.config import TrainConfig
    from omar.offline.options import Continuation

    kinds = (TrainConfig, Continuation, Backbone, ALGORITHMS[algorithm].Settings)
    names = [f.name for kind in kinds for f in dataclasses.fields(kind)]
    assert len(names) == len(set(names))


def test_afterstate_has_one_setting_for_all_particle_datasets():
    tasks = ("simple_spread", "simple_tag", "simple_world")
    found = [p for task in tasks for p in presets("afterstate", task)]
    assert len({(p.backbone, p.settings) for p in found}) == 1
    assert [p.updates for p in found] == [4000, 2000, 2000, 2000] * len(tasks)


def test_asymmetric_has_one_setting_for_all_datasets():
    found = [p for task in TASKS for p in presets("asymmetric", task)]
    assert len({p.settings for p in found}) == 1
    assert {p.updates for p in found} == {10_000}
    assert {dataclasses.replace(p.backbone, hidden=64) for p in found} == {
        Backbone(
            batch_size=256,
            learning_rate=1e-3,
            final_learning_rate=1e-4,
            decay_updates=10_000,
            action_penalty=0.0,
            critic_norm="layer",
            reward_scale=0.1,
            input_norm="dataset",
        )
    }
    assert [p.backbone.hidden for p in presets("asymmetric", "half_cheetah")] == [256] * 4


def test_cql_has_one_backbone_for_all_particle_datasets():
    tasks = ("simple_spread", "simple_tag", "simple_world")
    [backbone] = {p.backbone for task in tasks for p in presets("cql", task)}
    assert (backbone.learning_rate, backbone.input_norm, backbone.critic_norm) == (1e-3, "dataset", "layer")
    [cheetah] = {p.backbone for p in presets("cql", "half_cheetah")}
    assert cheetah == presets("omar", "half_cheetah")[0].backbone


def test_half_cheetah_has_the_released_figures():
    omar, cql = presets("omar", "half_cheetah"), presets("cql", "half_cheetah")
    assert [p.settings.alpha for p in omar] == [p.settings.alpha for p in cql] == [1.0, 5.0, 1.0, 5.0]
    assert [p.settings.tau for p in omar] == [1.0, 0.9, 0.7, 0.5]
    for preset in (*omar, *cql):
        assert preset.updates == 100_000
        assert preset.settings.policy_samples == 10
        backbone = preset.backbone
        assert (backbone.batch_size, backbone.hidden, backbone.polyak_rate) == (256, 256, 0.005)
    search = omar[0].settings
    assert (search.rounds, search.samples, search.refit, search.elites) == (2, 20, "elite", 5)
