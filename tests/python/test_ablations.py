"""The ablations of the paper: which cells they are, and that these can be trained."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from matrix_cases import SMALL
from omar.envs import task_env
from omar.errors import OmarError
from omar.evaluation import episode_returns
from omar.evaluation.policies import UniformPolicy
from omar.matrix.ablations import ABLATIONS, VALUES, ablation
from omar.matrix.plan import Lengths, matrix
from omar.matrix.work import Relay, training_folder, work
from omar.reproduce import main
from omar.tasks import QUALITIES, TASKS, VARIANTS, get_task


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMAR_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def settings_of(entry):
    """The settings of the algorithm and of the backbone that a cell is trained with."""
    run = entry.cell.resolved()
    return run.algorithm, run.backbone


@pytest.mark.parametrize("name", VALUES)
def test_a_setting_takes_every_value_on_every_quality(name):
    plan = ablation(name, Lengths())
    assert plan.name == f"ablation-{name}"
    found = {(e.cell.quality, getattr(settings_of(e)[0], name)) for e in plan.entries}
    assert found == {(quality, value) for quality in QUALITIES for value in VALUES[name]}
    assert {e.cell.task for e in plan.entries} == {"simple_spread"}
    assert {e.variant for e in plan.entries} == {f"{name} {value:g}" for value in VALUES[name]}


@pytest.mark.parametrize("name", sorted(set(ABLATIONS) - {"agents"}))
def test_the_presets_own_values_are_cells_of_the_matrix(name):
    known = {entry.cell.key for entry in matrix(Lengths()).entries}
    plan = ablation(name, Lengths())
    shared = [entry for entry in plan.entries if entry.cell.key in known]
    assert {entry.cell.quality for entry in shared} == set(QUALITIES)
    algorithms = {entry.cell.algorithm for entry in plan.entries}
    assert len(shared) == len(QUALITIES) * len(algorithms)


def test_optimisers_differ_in_their_search_alone_and_score_as_many_actions():
    entries = ablation("optimiser", Lengths(), "quality=medium").selected
    found = {entry.variant: settings_of(entry)[0] for entry in entries}
    assert set(found) == {"random shooting", "cross-entropy method", "OMAR"}
    assert {s.rounds * s.samples for s in found.values()} == {30}
    assert (found["random shooting"].rounds, found["cross-entropy method"].refit) == (1, "elite")
    same = {replace(s, rounds=3, samples=10, refit="softmax") for s in found.values()}
    assert same == {found["OMAR"]}


def test_sizes_are_whole_episodes_and_minibatches_fit():
    entries = ablation("dataset-size", Lengths()).entries
    sizes = {
        (e.cell.quality, e.variant): e.cell.steps
        or TASKS["simple_spread"].qualities[e.cell.quality].transitions
        for e in entries
    }
    assert sizes["medium", "0.1% of the data"] == 1000
    assert sizes["medium-replay", "0.1% of the data"] == 100
    assert sizes["medium", "100% of the data"] == 1_000_000
    for entry in entries:
        size = sizes[entry.cell.quality, entry.variant]
        assert size % 25 == 0
        assert settings_of(entry)[1].batch_size == min(size, 1024)


def test_one_to_five_agents_learn_from_uniform_actions():
    entries = ablation("agents", Lengths()).entries
    assert [get_task(e.cell.task).num_agents for e in entries[::2]] == [1, 2, 3, 4, 5]
    assert {e.cell.resolved().updates for e in entries} == {6000}
    assert entries[0].variant == "1 agent"
    omar = settings_of(entries[0])
    assert (omar[0].tau, omar[0].alpha, omar[1].gamma) == (1.0, 0.5, 0.95)


@pytest.mark.parametrize("name", VARIANTS)
def test_uniform_actions_score_0_with_any_number_of_agents(name):
    task = VARIANTS[name]
    env = task_env(task, num_envs=2, seed=1)
    assert (env.num_agents, env.obs_sizes) == (task.num_agents, task.obs_sizes)
    returns = episode_returns(UniformPolicy(2), task, episodes=8000, seed=1)
    assert float(returns.mean()) == pytest.approx(task.references.random, abs=2.0)
    assert float(returns.std()) == pytest.approx(task.qualities["random"].returns.std, abs=1.5)


@pytest.mark.parametrize(
    ("name", "only"),
    [
        ("optimiser", "variant=cross-entropy method,quality=medium-replay"),
        ("dataset-size", "variant=0.1% of the data,quality=medium-replay,algorithm=cql"),
        ("dataset-size", "variant=1% of the data,quality=expert,algorithm=omar"),
    ],
)
def test_cells_can_be_trained(tmp_path, name, only):
    (entry,) = ablation(name, Lengths(seeds=2, updates=2, eval_episodes=2), only).selected
    small = {**SMALL, **entry.cell.settings, "hidden": 2}
    cell = replace(entry.cell, settings=small | {"batch_size": 8})
    document = work(cell, training_folder(tmp_path, cell), Relay(lambda *_, **__: None), lambda: False)
    assert document.result.last.update == 2
    if cell.steps is not None:
        assert {card.transitions for card in document.result.datasets} == {cell.steps}


def test_a_variant_of_the_task_can_be_trained(tmp_path):
    (entry,) = ablation(
        "agents", Lengths(seeds=1, updates=2, eval_episodes=2), "variant=5 agents,algorithm=cql"
    ).selected
    cell = replace(entry.cell, settings=SMALL, steps=2500)
    document = work(cell, training_folder(tmp_path, cell), Relay(lambda *_, **__: None), lambda: False)
    card = document.result.datasets[0]
    assert card.normalized_mean == pytest.approx(card.return_mean - 189.4)


def test_the_command_writes_the_variants(tmp_path, capsys):
    quick = ["--seeds", "1", "--updates", "1", "--eval-episodes", "2", "--workers", "1"]
    chosen = "quality=medium-replay,variant=random shooting"
    assert main(["--out", str(tmp_path), "--ablation", "optimiser", "--only", chosen, *quick]) == 0
    assert "simple_spread medium-replay omar, random shooting: score" in capsys.readouterr().out
    with (tmp_path / "ablation-optimiser.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["algorithm"], row["variant"]) for row in rows] == [("omar", "random shooting")]


def test_message_unknown_variant():
    with pytest.raises(OmarError, match=r"--only: unknown variant '2', expected one of: tau 0, tau 0\.1"):
        ablation("tau", Lengths(), "variant=2")
