"""The help of every command: it can be shown, and it speaks of options as users know them."""

from __future__ import annotations

import sys

import pytest

import omar.data.__main__
import omar.train
from omar import bench, collect, evaluate, export, render, report, reproduce
from omar.tasks import TASKS

COMMANDS = {
    "evaluate": (evaluate.main, []),
    "export": (export.main, []),
    "bench": (bench.main, []),
    "reproduce": (reproduce.main, []),
    "report": (report.main, []),
    "render": (render.main, []),
    "train": (sys.modules["omar.train"].main, []),
    **{f"collect {name}": (collect.main, [name]) for name in collect.COMMANDS},
    **{f"data {name}": (omar.data.__main__.main, [name]) for name in omar.data.__main__.COMMANDS},
}


def help_of(capsys, command):
    main, arguments = COMMANDS[command]
    with pytest.raises(SystemExit) as done:
        main([*arguments, "--help"])
    assert done.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_no_value_of_python(capsys, command):
    said = help_of(capsys, command)
    assert f"python -m omar.{command}" in said
    assert "None" not in said


def test_training_says_whose_defaults_it_shows(capsys):
    main, _ = COMMANDS["train"]
    for arguments, said in (
        ([], "those of omar on random data of simple_spread, preset released."),
        (
            ["--task", "half_cheetah", "--dataset=expert", "--algorithm", "cql", "--preset", "paper"],
            "those of cql on expert data of half_cheetah, preset paper.",
        ),
    ):
        with pytest.raises(SystemExit):
            main([*arguments, "--help"])
        assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("evaluate", ["eval_episodes"]),
        ("train", ["eval_every", "eval_episodes"]),
        ("reproduce", ["eval_every", "eval_episodes"]),
    ],
)
def test_defaults_of_a_task_are_told(capsys, command, names):
    said = " ".join(help_of(capsys, command).replace("│", " ").split())
    for name in names:
        particle, cheetah = (getattr(TASKS[task], name) for task in ("simple_spread", "half_cheetah"))
        assert {getattr(task, name) for task in TASKS.values()} == {particle, cheetah}
        assert f"(default: {particle}; half_cheetah: {cheetah})" in said
