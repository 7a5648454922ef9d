"""The commands `python -m omar.collect dataset` and `python -m omar.data`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_cases import save_authors_prey
from omar import collect, evaluate
from omar.data import Dataset
from omar.data.__main__ import main as data_main

STEPS = ["--steps", "2500"]


@pytest.fixture(autouse=True)
def omar_home(tmp_path, monkeypatch):
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))


def info(capsys, *arguments):
    assert data_main(["info", "--json", *STEPS, *arguments]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("task", ["simple_spread", "simple_tag", "simple_world"])
def test_collect_then_info(capsys, task):
    assert collect.main(["dataset", "--task", task, "--quality", "random", *STEPS]) == 0
    assert "2,500 transitions, return " in capsys.readouterr().out
    figures = info(capsys, "--task", task)
    assert set(figures) == {
        "transitions",
        "episodes",
        "return_mean",
        "return_std",
        "normalized_mean",
        "sha256",
        "path",
    }
    dataset = Dataset.open(Path(figures["path"]))
    assert figures["transitions"] == 2500
    assert figures["episodes"] == 100
    assert figures["sha256"] == dataset.manifest.sha256
    assert figures["return_mean"] == pytest.approx(dataset.manifest.returns.mean)
    assert figures["return_std"] == pytest.approx(dataset.manifest.returns.std)


def test_data_seed_is_another_name_of_seed(capsys):
    assert info(capsys, "--data-seed", "3") == info(capsys, "--seed", "3")
    assert info(capsys, "--seed", "3")["sha256"] != info(capsys)["sha256"]


def test_info_draws_a_picture(capsys, tmp_path):
    assert data_main(["info", *STEPS]) == 0
    table = capsys.readouterr().out
    assert "simple_spread random" in table
    assert "159.6 ± 60" in table
    assert re.search(r"returns scoring 0 and 100 +│ 159.8 and 516.8 +│ 159.8 and 516.8", table)
    assert "returns that score 0 and 100 in this set: paper" in table
    # 2,500 uniform actions reach 1 - exp(-2500 / 1600) = 79% of the 1,600 cells.
    assert re.search(r"action coverage +│ (7[6-9]|8[0-2])%, ", table)
    with Image.open(Path(info(capsys)["path"]) / "card.png") as picture:
        assert picture.width > 1000
    assert data_main(["info", *STEPS, "--plot", str(tmp_path / "mine.png")]) == 0
    assert (tmp_path / "mine.png").exists()
    assert data_main(["info", *STEPS, "--plot", str(tmp_path / "none" / "mine.png")]) == 2
    assert "error: cannot write the picture" in capsys.readouterr().err


def test_verify_says_what_is_damaged(capsys):
    folder = Path(info(capsys)["path"])
    assert data_main(["verify", *STEPS]) == 0
    assert "is whole: 2,500 transitions" in capsys.readouterr().out
    data = bytearray((folder / "actions.npy").read_bytes())
    data[-1] ^= 1
    (folder / "actions.npy").write_bytes(data)
    assert data_main(["verify", "--folder", str(folder)]) == 2
    assert "error: " in (message := capsys.readouterr().err)
    assert "the checksum of actions.npy is not the manifest's" in message
    assert collect.main(["dataset", *STEPS, "--rebuild"]) == 0
    assert data_main(["verify", *STEPS]) == 0


@pytest.mark.parametrize("name", ["authors", "minari", "vault"])
def test_export_and_import(capsys, tmp_path, name):
    out = tmp_path / "out"
    assert (
        data_main(["export", "--format", name, "--out", str(out), "--task", "simple_tag", "--steps", "250"])
        == 0
    )
    assert f"250 transitions as {name}" in capsys.readouterr().out
    source = {
        "authors": out / "simple_tag" / "random" / "seed_0_data",
        "minari": out,
        "vault": out / "simple_tag.vlt" / "Random",
    }[name]
    arguments = ["--source", str(source), "--task", "simple_tag", "--out", str(tmp_path / "back")]
    assert data_main(["import", "--format", name, *arguments]) == 0
    assert "250 transitions in 10 episodes" in capsys.readouterr().out
    original = Dataset.open(Path(_figures(capsys, ["--task", "simple_tag", "--steps", "250"])["path"]))
    assert Dataset.open(tmp_path / "back").manifest.sha256 == original.manifest.sha256


def test_verify_generates_nothing(capsys, tmp_path):
    assert data_main(["verify", "--quality", "medium", *STEPS]) == 2
    assert re.search(
        r"error: no dataset at .*: make it with `python -m omar.collect dataset --task simple_spread "
        r"--quality medium --seed 0 --steps 2500`\n",
        capsys.readouterr().err,
    )
    assert not (tmp_path / "home").exists()


def test_a_picture_is_a_png_unless_its_name_says_otherwise(capsys, tmp_path):
    for name, start in {"a.odd": b"\x89PNG", "b.SVG": b"<?xml", "c.pdf": b"%PDF"}.items():
        assert data_main(["info", *STEPS, "--plot", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_bytes().startswith(start)
    assert data_main(["info", *STEPS, "--plot", "/dev/full"]) == 2
    said = "error: cannot write the picture /dev/full: No space left on device\n"
    assert capsys.readouterr().err == said


def test_info_works_where_the_picture_cannot_be_written(capsys):
    folder = Path(info(capsys)["path"])
    (folder / "card.png").mkdir()
    assert data_main(["info", "--folder", str(folder)]) == 0
    output = capsys.readouterr().out
    assert "2,500" in output
    assert re.search(r"picture: none, cannot write the picture .*card.png: .*; --plot FILE chooses", output)


def test_info_and_export_refuse_damaged_columns(capsys, tmp_path):
    folder = Path(info(capsys)["path"])
    data = bytearray((folder / "rewards.npy").read_bytes())
    data[-1] ^= 1
    (folder / "rewards.npy").write_bytes(data)
    for command in (["info"], ["export", "--format", "authors", "--out", str(tmp_path / "out")]):
        assert data_main([*command, "--folder", str(folder)]) == 2
        assert "the checksum of rewards.npy is not the manifest's" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_import_takes_a_name_and_the_meaning_of_time_limits(capsys, tmp_path):
    out = tmp_path / "out"
    assert data_main(["export", "--format", "authors", "--out", str(out), "--steps", "250"]) == 0
    source = out / "simple_spread" / "random" / "seed_0_data"
    dones = np.zeros(250, np.float32)
    dones[24::25] = 1
    for path in source.glob("dones_*.npy"):
        np.save(path, dones)
    arguments = ["import", "--format", "authors", "--source", str(source)]
    arguments += ["--quality", "my-demonstrations", "--time-limits", "keep"]
    assert data_main([*arguments, "--out", str(tmp_path / "back")]) == 0
    assert "note: 10 of 10 dones lie at the time limit" in capsys.readouterr().out
    back = Dataset.open(tmp_path / "back")
    assert back.quality == "my-demonstrations"
    assert back.column("terminated").sum() == 10
    assert data_main([*arguments, "--out", str(tmp_path / "back")]) == 2
    assert "back exists already: remove it or choose another place" in capsys.readouterr().err


def _figures(capsys, arguments):
    assert data_main(["info", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["dataset", "--steps", "7"],
            "error: steps must be a positive multiple of the episode length 25, got 7",
        ),
        (["dataset", "--task", "simple_tag", "--prey", "nowhere.pt"], "error: no prey at nowhere.pt"),
        (["dataset", "--prey", "nowhere.pt"], "error: simple_spread has no prey, but nowhere.pt was given"),
    ],
)
def test_mistakes_are_one_sentence(capsys, arguments, message):
    assert collect.main(arguments) == 2
    captured = capsys.readouterr().err
    assert message in captured
    assert captured.count("\n") == 1


@pytest.mark.parametrize(
    ("main", "arguments", "option"),
    [
        (collect.main, ["dataset"], "--task"),
        (collect.main, ["dataset"], "--quality"),
        (collect.main, ["train"], "--task"),
        (data_main, ["info"], "--task"),
        (data_main, ["info"], "--quality"),
        (evaluate.main, [], "--task"),
    ],
)
def test_tasks_and_qualities_are_choices(capsys, main, arguments, option):
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, option, "chess"])
    assert exit_.value.code == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    first = "simple_spread" if option == "--task" else "random"
    assert f"invalid choice 'chess' for argument '{option}'. Expected one of (" in said
    assert f"'{first}'" in said  # the order of an optional choice is not fixed


def test_modules_run_as_commands(tmp_path):
    made = subprocess.run(
        [sys.executable, "-m", "omar.collect", "dataset", *STEPS], capture_output=True, text=True, check=True
    )
    assert "2,500 transitions" in made.stdout
    failed = subprocess.run(
        [sys.executable, "-m", "omar.data", "info", "--folder", str(tmp_path)], capture_output=True, text=True
    )
    assert failed.returncode == 2
    assert "error: no dataset at" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_loaded_prey_moves_the_prey(capsys, tmp_path):
    with_prey = info(capsys, "--task", "simple_tag", "--prey", str(save_authors_prey(tmp_path / "prey.pt")))
    dataset = Dataset.open(Path(with_prey["path"]))
    actions = torch.from_numpy(dataset.column("prey_actions").copy())
    torch.testing.assert_close(actions, torch.tensor([1.0, -1.0]).expand(2500, 2), atol=1e-6, rtol=0)
    assert info(capsys, "--task", "simple_tag")["sha256"] != with_prey["sha256"]
