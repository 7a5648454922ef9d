"""Imitating a prey: whose actions are fitted, in which states, what is written, what is refused."""

import json

import pytest
import torch

from data_cases import save_authors_prey, some_policy, some_prey
from omar.behaviors.policy_file import load_policy, save_policies
from omar.collect import TrainBehaviors, main
from omar.errors import OmarError
from omar.online.collection import CollectionSettings
from omar.online.fitting import Imitation, ImitationConfig
from omar.online.imitation import imitate
from omar.online.matd3 import Matd3Settings
from omar.runs.interrupts import Interrupts

SMALL = {"predator_updates": 20, "updates": 60, "rounds": 2, "worlds": 20, "batch_size": 64, "episodes": 40}


@pytest.fixture(scope="module")
def prey_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("prey") / "other.safetensors"
    save_policies(path, [some_prey()])
    return path


@pytest.fixture(scope="module")
def predators(prey_file, tmp_path_factory):
    """A training of predators against the prey of the file."""
    out = tmp_path_factory.mktemp("predators") / "run"
    collection = CollectionSettings(updates=20, worlds=10, warmup=500, capacity=1_000)
    matd3 = Matd3Settings(batch_size=64, hidden=16)
    options = {"eval_every": 10, "eval_episodes": 20, "collection": collection, "matd3": matd3}
    assert TrainBehaviors(task="simple_tag", prey=str(prey_file), out=out, **options)() == 0
    return out


def config(prey, predators, out=None, **options):
    return ImitationConfig(**{"prey": prey, "predators": predators, "out": out, **SMALL, **options})


def test_the_fitted_prey_acts_as_the_other_one(prey_file, predators, tmp_path):
    options = {"updates": 400, "rounds": 3, "batch_size": 512, "worlds": 100}
    result = imitate(config(prey_file, predators, tmp_path / "out", origin="a licence", **options))
    prey = load_policy(tmp_path / "out" / "prey.safetensors")
    assert prey.sha256 == result.prey.sha256
    assert prey.moves_prey
    assert prey.source["imitates"] == "other.safetensors"
    assert prey.source["imitates_sha256"] == some_prey().sha256
    assert prey.source["origin"] == "a licence"
    assert result.report["action_error"] < 0.02
    report = json.loads((tmp_path / "out" / "imitation.json").read_text())
    assert report["action_error"] == result.report["action_error"]
    assert report["of"] == some_prey().sha256
    assert [row["predators"] for row in report["returns"]] == ["uniform", "update 10", "update 20"]
    states = torch.randn(200, 1, prey.obs_size)
    assert (prey(states) - some_prey()(states)).abs().mean() < 0.1


def test_same_seed_same_prey_and_another_seed_another(prey_file, predators, tmp_path):
    found = [
        imitate(config(prey_file, predators, tmp_path / str(i), seed=seed)).prey.sha256
        for i, seed in enumerate((3, 3, 4))
    ]
    assert found[0] == found[1] != found[2]


def test_later_rounds_see_where_the_fitted_prey_leads(prey_file, predators):
    policies = [load_policy(file) for file in sorted((predators / "policies").iterdir())]
    run = Imitation(config(prey_file, predators), some_prey(), policies)
    with pytest.raises(OmarError, match="an imitation needs states before its first update"):
        run.update()
    run.collect(0)
    rows = len(run._states)
    assert rows == (1 + len(policies)) * 20 * 25
    taught = run._states.clone()
    run.collect(1)
    assert torch.equal(run._states[:rows], taught)
    assert len(run._states) == 2 * rows
    own = run._visited(run.prey(), 20, 5)
    others = run._visited(some_prey(), 20, 5)
    starts = torch.arange(0, rows, 25)
    assert torch.equal(own[starts], others[starts])
    assert not torch.equal(own, others)
    torch.testing.assert_close(run._actions, some_prey()(run._states[:, None])[:, 0])


def test_the_command_trains_the_predators_it_needs(tmp_path, capsys):
    file = save_authors_prey(tmp_path / "pretrained_adv_model.pt")
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    out = tmp_path / "out"
    assert main(["imitate", "--prey", str(file), "--task", "simple_tag", "--out", str(out), *options]) == 0
    said = capsys.readouterr().out
    assert "imitating pretrained_adv_model.pt of simple_tag" in said
    assert "root mean square action error" in said
    assert "uniform predators: return" in said
    prey = load_policy(out / "prey.safetensors")
    assert prey.source["imitates"] == "pretrained_adv_model.pt"
    assert (out / "predators" / "result.json").exists()


@pytest.mark.parametrize("after", [0, 100])
def test_a_stopped_imitation_leaves_no_prey(prey_file, predators, tmp_path, after):
    calls = iter(range(10_000))
    trained = predators if after else None
    options = config(prey_file, trained, tmp_path / "out")
    result = imitate(options, stop=lambda: next(calls) >= after)
    assert result.prey is None
    assert not (tmp_path / "out" / "prey.safetensors").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "simple_spread"}, "simple_spread has no prey to imitate"),
        ({"task": "simple_world"}, "is not the file of a prey of simple_world|is not a prey"),
        ({"rounds": 2.5}, "rounds must be an integer, got 2.5"),
        ({"worlds": 10**12}, "states of all rounds .*--worlds or --rounds"),
        ({"rounds": 0}, "rounds must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be greater than 0"),
        ({"seed": -1}, r"seed must be in \[0, 18446744073709551615\], got -1"),
    ],
)
def test_refused_options(prey_file, predators, tmp_path, options, message):
    with pytest.raises(OmarError, match=message):
        imitate(config(prey_file, predators, tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()


def test_predators_of_another_prey_are_refused(prey_file, predators, tmp_path):
    other = tmp_path / "prey.safetensors"
    save_policies(other, [some_prey(seed=7)])
    with pytest.raises(OmarError, match="were not trained against this prey of simple_tag"):
        imitate(config(other, predators, tmp_path / "out"))
    with pytest.raises(OmarError, match="is not the folder of a training of predators"):
        imitate(config(prey_file, tmp_path, tmp_path / "out"))
    learners = tmp_path / "learners.safetensors"
    save_policies(learners, [some_policy("simple_tag")])
    with pytest.raises(OmarError, match="learners"):
        imitate(config(learners, predators, tmp_path / "out"))


def test_ctrl_c_says_how_to_go_on(prey_file, predators, tmp_path, monkeypatch, capsys):
    class Stopped(Interrupts):
        def __enter__(self):
            self.stop = True
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr("omar.collect.Interrupts", Stopped)
    out = tmp_path / "out"
    options = ["--prey", str(prey_file), "--predators", str(predators), "--out", str(out)]
    assert main(["imitate", *options]) == 130
    said = capsys.readouterr().out
    assert f"stopped, and {out} holds no prey" in said
    assert f"`python -m omar.collect train --resume {predators}`" in said
