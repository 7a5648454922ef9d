"""What the settings of the backbone do to any algorithm, and how facts of the data reach the losses."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import omar
from data_cases import make_columns, make_dataset, make_spec
from omar.algorithms import ALGORITHMS, Agents, Backbone, update
from omar.algorithms.bc import Bc
from omar.algorithms.statistics import Facts
from omar.data.writer import write_dataset
from omar.errors import OmarError
from omar.offline.config import TrainConfig, resolve
from omar.offline.minibatches import facts
from omar.offline.training import Training
from omar.random import Draw
from test_algorithms import (
    MEMBERWISE,
    SMALL,
    A,
    N,
    O,
    first_members,
    make_agents,
    make_algorithm,
    make_batch,
    module,
    needs,
)

FALLING = replace(SMALL, decay_updates=4, final_learning_rate=0.002)


def test_the_learning_rate_falls_on_a_line_and_stays():
    rates = [FALLING.learning_rate_at(u) for u in (0, 1, 2, 3, 4, 5, 10**9)]
    assert rates == pytest.approx([0.01, 0.008, 0.006, 0.004, 0.002, 0.002, 0.002])
    assert rates[0] == 0.01
    assert {rates[4], rates[-1]} == {0.002}


def test_without_a_fall_the_learning_rate_is_the_same_in_all_updates():
    assert {SMALL.learning_rate_at(u) for u in (0, 1, 10**9)} == {0.01}


@pytest.mark.parametrize("name", MEMBERWISE)
def test_each_update_has_the_rate_of_its_number(name):
    """An update of a falling rate is one with that rate throughout, from the same state."""
    falling = make_agents(settings=FALLING, **needs(name))
    for step in (0, 3, 7):
        rate = FALLING.learning_rate_at(step)
        fixed = make_agents(settings=replace(SMALL, learning_rate=rate), **needs(name))
        fixed.load({n: t.clone() for n, t in falling.tensors().items()}, step)
        falling.load({n: t.clone() for n, t in falling.tensors().items()}, step)
        for agents in (falling, fixed):
            update(make_algorithm(name, agents), agents, make_batch(2 * N, seed=step), Draw(0, step))
        theirs = fixed.tensors()
        assert all(torch.equal(tensor, theirs[n]) for n, tensor in falling.tensors().items())


def test_a_step_of_adam_is_as_long_as_the_rate():
    """The first step moves every parameter by the rate, whatever the gradient."""
    for step, expected in ((0, 0.01), (2, 0.006), (9, 0.002)):
        agents = make_agents(settings=FALLING, has_critics=False)
        before = agents.actor.networks.biases[2].detach().clone()
        update(make_algorithm("bc", agents), agents, make_batch(2 * N), Draw(0, step))
        moved = (agents.actor.networks.biases[2].detach() - before).abs()
        torch.testing.assert_close(moved, torch.full_like(moved, expected), rtol=1e-4, atol=0)


def td(name, agents, batch):
    """The TD error that an update of other rewards logs."""
    return update(make_algorithm(name, agents), agents, batch, Draw(0, 0))["critic/td"]


@pytest.mark.parametrize("name", [name for name, kind in ALGORITHMS.items() if kind.has_critics])
def test_scaled_rewards_are_those_of_other_data(name):
    batch = make_batch(2 * N, terminated=True)
    scaled = td(name, make_agents(settings=replace(SMALL, reward_scale=0.1), **needs(name)), batch)
    by_hand = td(name, make_agents(**needs(name)), replace(batch, rewards=batch.rewards * 0.1))
    torch.testing.assert_close(scaled, by_hand, rtol=1e-12, atol=0)
    assert bool((scaled != td(name, make_agents(**needs(name)), batch)).all())


@pytest.mark.parametrize("critics", [1, 3])
@pytest.mark.parametrize("critic", ["independent", "centralized"])
@pytest.mark.parametrize("norm", ["batch", "dataset"])
@pytest.mark.parametrize("name", [name for name, kind in ALGORITHMS.items() if kind.has_critics])
def test_any_number_of_critics_trains(name, critic, critics, norm):
    settings = replace(SMALL, critic=critic, num_critics=critics, input_norm=norm)
    many, alone = (make_agents(seeds, settings, **needs(name)) for seeds in (2, 1))
    assert many.critic.networks.members == critics * 2 * N
    for step in range(3):
        batch = make_batch(2 * N, seed=step)
        update(make_algorithm(name, many), many, batch, Draw(0, step))
        update(make_algorithm(name, alone), alone, first_members(batch, N), Draw(0, step))
    single = alone.tensors()
    for tensor_name, tensor in many.tensors().items():
        picked = tensor.unflatten(0, (-1, 2 * N))[:, :N].flatten(0, 1)
        torch.testing.assert_close(picked, single[tensor_name], rtol=0, atol=1e-9)


def test_targets_take_the_least_of_three_critics():
    agents, batch = make_agents(settings=replace(SMALL, num_critics=3)), make_batch(2 * N)
    term = make_algorithm("td3bc", agents).critic_terms(batch, Draw(0, 0))["td"]
    for m in range(2 * N):
        critics = [module(agents.critic.networks, t * 2 * N + m) for t in range(3)]
        targets = [module(agents.critic.target, t * 2 * N + m) for t in range(3)]
        a2 = torch.tanh(module(agents.actor.target, m)(batch.next_observations[m]))
        x, x2 = (
            torch.cat(pair, dim=1)
            for pair in ((batch.observations[m], batch.actions[m]), (batch.next_observations[m], a2))
        )
        y = batch.rewards[m] + 0.95 * torch.stack([q(x2)[:, 0] for q in targets]).amin(dim=0)
        expected = sum((q(x)[:, 0] - y).square().mean() for q in critics)
        assert term[m].item() == pytest.approx(expected.item(), abs=1e-9)


@pytest.mark.parametrize("critic", ["independent", "centralized"])
@pytest.mark.parametrize("norm", ["batch", "dataset"])
@pytest.mark.parametrize("name", [name for name, kind in ALGORITHMS.items() if kind.has_critics])
def test_critics_with_layer_norm_train_alike_alone_and_in_a_stack(name, norm, critic):
    settings = replace(SMALL, critic=critic, critic_norm="layer", input_norm=norm)
    many, alone = (make_agents(seeds, settings, **needs(name)) for seeds in (2, 1))
    scale = many.critic.networks.norm_scales[1]
    assert scale.shape == (2 * 2 * N, SMALL.hidden)
    for step in range(3):
        batch = make_batch(2 * N, seed=step)
        update(make_algorithm(name, many), many, batch, Draw(0, step))
        update(make_algorithm(name, alone), alone, first_members(batch, N), Draw(0, step))
    assert bool((scale != 1).any())  # it is learned
    assert not many.actor.networks.norm_scales
    single = alone.tensors()
    for tensor_name, tensor in many.tensors().items():
        picked = tensor.unflatten(0, (-1, 2 * N))[:, :N].flatten(0, 1)
        torch.testing.assert_close(picked, single[tensor_name], rtol=0, atol=1e-9)


def test_layer_norm_stands_before_each_relu_of_the_critics():
    agents = make_agents(settings=replace(SMALL, critic_norm="layer"))
    networks, batch = agents.critic.networks, make_batch(2 * N)
    with torch.no_grad():
        for number, parameter in enumerate([*networks.norm_scales, *networks.norm_shifts]):
            parameter.copy_(torch.linspace(0.5, 1.5, parameter.numel()).view(parameter.shape) + number)
        values = agents.values(batch.observations, batch.actions)
        for index in range(2 * 2 * N):
            t, m = divmod(index, 2 * N)
            x = torch.cat([batch.observations[m], batch.actions[m]], dim=1)
            for layer in range(2):
                x = x @ networks.weights[layer][index] + networks.biases[layer][index]
                scale, shift = networks.norm_scales[layer][index], networks.norm_shifts[layer][index]
                x = torch.relu(torch.nn.functional.layer_norm(x, (SMALL.hidden,), scale, shift))
            expected = (x @ networks.weights[2][index] + networks.biases[2][index])[:, 0]
            torch.testing.assert_close(values[t, m], expected, rtol=1e-9, atol=1e-9)


SHORT = {"batch_size": 16, "hidden": 8, "decay_updates": 8, "reward_scale": 0.1}
OTHER_CRITICS = {"num_critics": 3, "critic_norm": "layer"}


def config_of(dataset, out, updates, **settings):
    return TrainConfig(
        dataset=str(dataset.path),
        algorithm="td3bc",
        seeds=2,
        updates=updates,
        eval_every=100,
        checkpoint_every=100,
        eval_episodes=2,
        out=out,
        settings={**SHORT, **OTHER_CRITICS, **settings},
    )


def checkpoint(out, updates):
    folder = out / "checkpoint"
    return {p.name: p.read_bytes() for p in folder.rglob("*.safetensors") if str(updates) in str(p)}


def test_a_falling_rate_goes_on_where_it_was(tmp_path):
    """Stopped within the fall, finished within it and extended, or never interrupted: the same bytes."""
    dataset = make_dataset(tmp_path / "set")
    omar.train(config_of(dataset, tmp_path / "whole", 12))
    polls = iter(range(100))
    stopped = omar.train(config_of(dataset, tmp_path / "stopped", 12), stop=lambda: next(polls) == 4)
    assert (stopped.finished, stopped.update) == (False, 5)
    omar.resume(tmp_path / "stopped")
    omar.train(config_of(dataset, tmp_path / "longer", 6))
    omar.resume(tmp_path / "longer", updates=12)
    expected = checkpoint(tmp_path / "whole", 12)
    assert expected
    assert checkpoint(tmp_path / "stopped", 12) == checkpoint(tmp_path / "longer", 12) == expected
    omar.train(config_of(dataset, tmp_path / "other", 12, decay_updates=0))
    assert checkpoint(tmp_path / "other", 12) != expected
    config = json.loads((tmp_path / "longer" / "config.json").read_text())
    assert config["backbone"]["decay_updates"] == 8


@dataclass(frozen=True, slots=True)
class CuriousSettings:
    """None."""


class Curious(Bc):
    """Asks for facts."""

    Settings = CuriousSettings
    needs_facts = True


def test_facts_reach_the_algorithms_that_need_them(tmp_path, monkeypatch):
    columns = make_columns(episodes=3, seed=4)
    columns["truncated"][7] = True  # episodes of unequal length
    datasets = [
        make_dataset(tmp_path / "first", episodes=4, seed=1),
        write_dataset(tmp_path / "second", make_spec(episodes=3), columns),
    ]
    found = facts(datasets, 0.1, torch.device("cpu"))
    monkeypatch.setitem(ALGORITHMS, "bc", Curious)
    names = tuple(str(dataset.path) for dataset in datasets)
    config = TrainConfig(dataset=names, algorithm="bc", seeds=2, settings={"reward_scale": 0.1})
    training = Training.build(resolve(config, "random"), datasets, None)
    assert torch.equal(training.algorithm.facts.largest_returns, found.largest_returns)
    team = [0.1 * dataset.episode_returns().max() for dataset in datasets]
    np.testing.assert_allclose(found.largest_returns, team, rtol=1e-6)
    rows = found.observations.shape[1]
    assert found.observations.shape[:3] == found.actions.shape[:3] == (2, rows, N)
    for seed, dataset in enumerate(datasets):
        chosen = np.linspace(0, len(dataset) - 1, rows).astype(int)
        for name in ("observations", "actions", "next_observations"):
            np.testing.assert_array_equal(getattr(found, name)[seed], dataset.column(name)[chosen])


def test_an_algorithm_is_not_made_without_the_facts_that_it_needs():
    agents = make_agents(has_critics=False)
    with pytest.raises(ValueError, match="Curious needs facts of the data"):
        Curious(CuriousSettings(), agents)
    known = Facts(torch.zeros(2), torch.zeros(2), *(torch.zeros(2, 4, N, size) for size in (O, A, O)))
    assert Curious(CuriousSettings(), agents, known).facts is known


def test_agents_without_critics_have_none():
    agents = Agents(SMALL, seeds=[0], obs_size=4, action_size=A, has_critics=False)
    assert not hasattr(agents, "critic")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Backbone(num_critics=0), r"num_critics must be in \[1, 64\], got 0"),
        (lambda: Backbone(num_critics=65), r"num_critics must be in \[1, 64\], got 65"),
        (lambda: Backbone(decay_updates=-1), r"decay_updates must be in \[0, 4294967295\], got -1"),
        (lambda: Backbone(decay_updates=1.5), "decay_updates must be an integer, got 1.5"),
        (lambda: Backbone(final_learning_rate=-0.1), "final_learning_rate must be at least 0, got -0.1"),
        (lambda: Backbone(critic_norm="batch"), "critic_norm must be 'none' or 'layer', got \"batch\""),
        (lambda: Backbone(reward_scale=0.0), "reward_scale must be greater than 0, got 0"),
    ],
)
def test_messages(build, message):
    with pytest.raises(OmarError, match=message):
        build()
