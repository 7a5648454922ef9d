"""Whatever a command is given, it ends with a status and one sentence: no exception escapes."""

from __future__ import annotations

import dataclasses
import random
import shutil
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import omar.train  # noqa: F401  (the module; the name `omar.train` can be called)
from data_cases import make_dataset, save_authors_prey, some_policy
from matrix_cases import made_up_folder, plan_of, small_cell
from omar import bench, collect, evaluate, export, render, report, reproduce
from omar.algorithms import ALGORITHMS, Backbone
from omar.behaviors.policy_file import save_policies
from omar.data.__main__ import Export, Import, Info, Verify
from omar.data.__main__ import main as data_main
from omar.data.formats import export_dataset
from omar.offline.config import TrainConfig
from omar.online.matd3 import Matd3Settings
from omar.online.training import CollectionSettings
from omar.terminal import cli

train_main = sys.modules["omar.train"].main

FEW = ["--episodes", "2", "--candidates", "1"]
BC = ["--only", "task=simple_spread,quality=medium-replay,algorithm=bc"]
ONLINE = ["--updates", "0", "--eval-episodes", "1", "--warmup", "250", "--worlds", "10", "--batch-size", "16"]
SMALL = ["--batch-size", "8", "--hidden", "2", "--updates", "0", "--eval-episodes", "1", "--seeds", "1"]


def options(*classes: type[Any]) -> list[str]:
    left_out = {"settings", "collection", "matd3", "names"}
    return sorted({f.name for c in classes for f in dataclasses.fields(c)} - left_out)


# What each command is called with, its options, and those whose value would be a long training.
COMMANDS = {
    "train": (train_main, ["--dataset", "set", "--out", "new", *SMALL], options(TrainConfig, Backbone)),
    "resume": (train_main, ["--resume", "run"], ["resume", "dataset", "updates"]),
    "evaluate": (evaluate.main, ["--run", "run", "--episodes", "1"], options(evaluate.EvaluateOptions)),
    "export": (
        export.main,
        ["--run", "run", "--format", "torchscript", "--out", "model.pt"],
        options(export.ExportOptions),
    ),
    "dataset": (collect.main, ["dataset", "--steps", "25"], options(collect.MakeDataset)),
    "behaviors": (
        collect.main,
        ["train", "--out", "new", *ONLINE],
        options(collect.TrainBehaviors, CollectionSettings, Matd3Settings),
    ),
    "ship": (collect.main, ["ship", "--run", "online", "--out", "new", *FEW], options(collect.ShipBehaviors)),
    "info": (data_main, ["info", "--folder", "set", "--json"], options(Info)),
    "verify": (data_main, ["verify", "--folder", "set"], options(Verify)),
    "import": (
        data_main,
        ["import", "--format", "authors", "--source", "foreign", "--out", "new"],
        options(Import),
    ),
    "data-export": (
        data_main,
        ["export", "--folder", "set", "--format", "authors", "--out", "new"],
        options(Export),
    ),
    "reproduce": (
        reproduce.main,
        ["--out", "new", "--dry-run", *BC, "--eval-episodes", "1"],
        options(reproduce.ReproduceOptions),
    ),
    "render": (
        render.main,
        ["--policy", "policy.safetensors", "--out", "new.gif", "--steps", "1", "--size", "160"],
        options(render.RenderOptions),
    ),
    "report": (report.main, ["--results", "matrix", "--out", "new"], options(report.ReportOptions)),
    "bench": (bench.main, ["dataset", "--device", "sky"], options(bench.BenchConfig)),
}

NUMBERS = [
    "-1", "0", "0.5", "1e400", "nan", "inf", "-inf", str(2**63), str(2**64), str(-(2**63) - 1),
    str(25 * 2**62), "1" + "0" * 400, "9" * 5000, "0x10", "1_0", "٣",
]  # fmt: skip
TEXTS = [
    "", " ", "=", "-", "None", "True", "[]", "{}", "a\nb", "é\udcff", "x" * 300, "x/" * 3000,
    "~nosuchuser/x", "~", "..", "../..", ".", "/", "/proc/self/mem", "/proc/self/nothing", "/dev/zero",
    "/dev/full", "empty", "noise", "list.json", "loop", "set", "run", "foreign", "prey.pt",
    "policy.safetensors", "medium", "simple_tag", "cuda:9", "cpu:1", "meta", "mps",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a set, a run, files of other kinds, and what is none."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("OMAR_HOME", str(folder / "home"))
        make_dataset(folder / "set", episodes=1)
        assert train_main(["--dataset", "set", "--out", "run", *SMALL]) == 0
        assert collect.main(["train", "--out", "online", *ONLINE]) == 0
        export_dataset("authors", make_dataset(folder / "other", episodes=1), folder / "out")
        shutil.move(next((folder / "out").glob("*/*/*")), folder / "foreign")
        save_authors_prey(folder / "prey.pt")
        save_policies(folder / "policy.safetensors", [some_policy(hidden=2)])
        made_up_folder(folder / "matrix", plan_of(small_cell()))
        (folder / "empty").mkdir()
        (folder / "noise").write_bytes(random.Random(0).randbytes(500))
        (folder / "list.json").write_text("[]")
        (folder / "loop").symlink_to(folder / "loop")
        yield folder


def check(main, arguments, capfd):
    """Runs a command; what it may do is succeed, or refuse in one line."""
    capfd.readouterr()
    try:
        status = main(arguments)
    except SystemExit as stop:  # tyro's own usage errors, in a frame
        status = stop.code
        assert "Traceback" not in capfd.readouterr().err
        assert status in (0, cli.USAGE_ERROR)
        return
    said = capfd.readouterr().err
    assert "Traceback" not in said, said
    assert status in (0, cli.USAGE_ERROR), said
    if status == cli.USAGE_ERROR:
        assert said.startswith("error: "), said
        assert said.count("\n") == 1, said
        assert len(said) > len("error: \n"), said


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_any_value_of_any_option_is_taken_or_refused(name, place, monkeypatch, capfd):
    main, arguments, names = COMMANDS[name]
    if name in ("train", "behaviors"):
        names = names + (options(*(a.Settings for a in ALGORITHMS.values())) if name == "train" else [])
    monkeypatch.chdir(place)
    monkeypatch.setenv("OMAR_HOME", str(place / "home"))

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(option=st.sampled_from(names), value=st.sampled_from(NUMBERS) | st.sampled_from(TEXTS))
    def any_value(option, value):
        keep = sorted(path.name for path in place.iterdir())
        try:
            check(main, [*arguments, f"--{option.replace('_', '-')}", value], capfd)
        finally:
            for path in place.iterdir():
                if path.name not in keep:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    any_value()
