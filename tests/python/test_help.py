"""The help of every command: it can be shown, and it speaks of options as users know them."""

from __future__ import annotations

import pytest

import omar.data.__main__
from omar import bench, collect, evaluate, export, report, reproduce

COMMANDS = {
    "evaluate": (evaluate.main, []),
    "export": (export.main, []),
    "bench": (bench.main, []),
    "reproduce": (reproduce.main, []),
    "report": (report.main, []),
    **{f"collect {name}": (collect.main, [name]) for name in collect.COMMANDS},
    **{f"data {name}": (omar.data.__main__.main, [name]) for name in omar.data.__main__.COMMANDS},
}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_no_value_of_python(capsys, command):
    main, arguments = COMMANDS[command]
    with pytest.raises(SystemExit) as done:
        main([*arguments, "--help"])
    assert done.value.code == 0
    said = capsys.readouterr().out
    assert f"python -m omar.{command}" in said
    assert "None" not in said
