"""The matrix of the paper: plans, keys, workers, what is cached, taken up, and what fails."""

from __future__ import annotations

import csv
import io
import json
import os
import queue
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from matrix_cases import SMALL, made_up, made_up_folder, plan_of, small_cell
from omar.algorithms import ALGORITHMS
from omar.errors import OmarError
from omar.matrix import crew
from omar.matrix.ablations import ablation
from omar.matrix.cell import Cell
from omar.matrix.crew import Processes
from omar.matrix.document import Document
from omar.matrix.estimate import Rate, finished_rates, makespan, rates
from omar.matrix.events import Event
from omar.matrix.folder import COLUMNS, MatrixFolder
from omar.matrix.plan import Lengths, choose, matrix
from omar.matrix.reproduce import is_done, reproduce
from omar.matrix.work import Relay, training_folder, work
from omar.reproduce import main
from omar.runs.decode import encode
from omar.runs.files import seal
from omar.tasks import QUALITIES, TASKS
from omar.terminal.board import Board, hours

FEW = ["--only", "task=simple_spread,quality=medium-replay,algorithm=bc"]
QUICK = ["--updates", "2", "--seeds", "1", "--eval-episodes", "2", "--workers", "1"]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMAR_HOME", str(tmp_path_factory.mktemp("home")))
        yield


class Listening:
    """A `Listener` that keeps what it was told."""

    def __init__(self):
        self.said = []

    def __getattr__(self, name):
        return lambda *given: self.said.append((name, *given))

    def of(self, kind):
        return [given for name, *given in self.said if name == kind]


def run_plan(path, plan, stop=lambda: False, workers=2):
    folder, listener = MatrixFolder(path), Listening()
    with folder.owned():
        crew = Processes(folder.work, workers=workers, threads=1)
        outcome = reproduce(plan, folder, crew, listener, stop)
    return folder, outcome, listener


def finish(cell, path):
    """A cell without workers: what `work` comes to."""
    return work(cell, training_folder(path, cell), Relay(lambda *_, **__: None), lambda: False)


PARTICLE_ALGORITHMS = set(ALGORITHMS) - {"asymmetric"}  # which wants global states


class TestPlan:
    def test_every_algorithm_on_every_set_of_every_task(self):
        plan = matrix(Lengths())
        assert len(plan.entries) == 3 * len(QUALITIES) * len(PARTICLE_ALGORITHMS)
        assert len({entry.cell.key for entry in plan.entries}) == len(plan.entries)
        assert plan.selected == plan.entries

    def test_half_cheetah_is_asked_for_by_name(self):
        assert {entry.cell.task for entry in matrix(Lengths()).entries} == set(TASKS) - {"half_cheetah"}
        asked = matrix(Lengths(), tasks=("half_cheetah",))
        assert {entry.cell.task for entry in asked.entries} == {"half_cheetah"}
        assert {entry.cell.algorithm for entry in asked.entries} == set(ALGORITHMS) - {"afterstate"}
        assert asked.entries[0].cell.resolved().eval_episodes == 50

    def test_choices_of_one_name_are_alternatives_and_of_several_conditions(self):
        plan = matrix(Lengths(), "task=simple_tag, quality=expert,quality=medium")
        assert {(e.cell.task, e.cell.quality) for e in plan.selected} == {
            ("simple_tag", "expert"),
            ("simple_tag", "medium"),
        }
        assert len(plan.selected) == 2 * len(PARTICLE_ALGORITHMS)

    @pytest.mark.parametrize(
        ("only", "message"),
        [
            ("simple_tag", "--only takes parts like task=simple_tag,quality=expert, got 'simple_tag'"),
            ("color=red", "--only takes parts like .* got 'color=red'"),
            ("task=chess", "--only: unknown task 'chess', expected one of: simple_spread, simple_tag"),
            ("variant=a", "--only: unknown variant 'a', expected one of: none here"),
        ],
    )
    def test_messages(self, only, message):
        with pytest.raises(OmarError, match=message):
            matrix(Lengths(), only)

    def test_message_nothing_left(self):
        entries = plan_of(small_cell("bc"), small_cell("cql", task="simple_tag")).entries
        with pytest.raises(OmarError, match="--only task=simple_tag,algorithm=bc leaves no cell"):
            choose(entries, "task=simple_tag,algorithm=bc")


class TestKey:
    @pytest.mark.parametrize(
        "change",
        [
            {"updates": 4},
            {"seeds": 3},
            {"eval_every": 1},
            {"eval_episodes": 3},
            {"quality": "medium"},
            {"task": "simple_tag"},
            {"algorithm": "cql"},
            {"settings": {**SMALL, "learning_rate": 0.5}},
            {"steps": 2500},
            {"preset": "paper"},
        ],
    )
    def test_all_that_decides_the_result_changes_it(self, change):
        assert replace(small_cell(), **change).key != small_cell().key

    def test_what_decides_nothing_does_not(self):
        assert replace(small_cell(), device="cpu", checkpoint_every=1).key == small_cell().key

    def test_a_preset_spelled_out_is_the_same_cell(self):
        updates = small_cell("omar", updates=None).resolved().updates
        settings = {**SMALL, "tau": 1.0}
        assert (
            small_cell("omar", updates=updates, settings=settings).key == small_cell("omar", updates=None).key
        )

    def test_the_prey_decides(self):
        before = small_cell(task="simple_tag").configuration()["datasets"]
        assert before != small_cell(task="simple_world").configuration()["datasets"]


class TestRun:
    def test_the_same_result_from_a_clean_cache_by_other_workers_and_in_one_process(self, tmp_path):
        cells = [small_cell("bc"), small_cell("cql"), small_cell("bc", updates=4, steps=2500)]
        first, outcome, listener = run_plan(tmp_path / "a", plan_of(*cells), workers=2)
        assert outcome.finished == 3
        assert not outcome.failures
        assert {entry.cell.key for entry, *_ in listener.of("finished")} == {cell.key for cell in cells}
        for cell in cells:
            document = first.document(cell.key)
            alone = finish(cell, tmp_path / "b")
            assert encode(alone.result) == encode(document.result)
            assert (first.policies / f"{cell.name}-{cell.key}.safetensors").is_file()
            assert [p.update for p in document.result.evaluations] == [0, 2, *({3, 4} & {cell.updates})]
            assert not training_folder(first.work, cell).exists()
        _, outcome, listener = run_plan(tmp_path / "a", plan_of(*cells))
        assert (outcome.cached, outcome.finished) == (3, 0)
        assert listener.of("began") == [[3, []]]
        with (first.path / "scores.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert tuple(rows[0]) == COLUMNS
        last = first.document(cells[1].key).result.last
        assert [float(row["score"]) for row in rows if row["algorithm"] == "cql"] == list(last.scores)
        assert {row["episodes"] for row in rows} == {"2"}

    def test_a_stopped_cell_is_taken_up_and_comes_to_the_same(self, tmp_path):
        cell = small_cell("cql", updates=4, eval_every=1, checkpoint_every=1)
        whole = finish(cell, tmp_path / "whole")
        count = iter(range(9))
        folder = training_folder(tmp_path / "parts", cell)
        assert work(cell, folder, Relay(lambda *_, **__: None), lambda: next(count) == 1) == 2
        told = []
        rest = work(cell, folder, Relay(lambda kind, **more: told.append((kind, more))), lambda: False)
        assert told[0] == ("updated", {"update": 2})
        assert rest.result == whole.result

    def test_what_cannot_be_taken_up_is_begun_again(self, tmp_path):
        cell = small_cell()
        folder = training_folder(tmp_path, cell)
        assert work(cell, folder, Relay(lambda *_, **__: None), lambda: True) == 1
        for file in folder.glob("checkpoint/*"):
            file.write_bytes(b"")
        told = []
        document = work(cell, folder, Relay(lambda kind, **more: told.append((kind, more))), lambda: False)
        assert document.result == finish(cell, tmp_path / "whole").result
        assert "what an earlier attempt left cannot be taken up" in told[0][1]["text"]

    def test_a_failure_is_reported_and_the_rest_carried_on(self, tmp_path):
        bad = small_cell("cql", settings={**SMALL, "batch_size": 10**6})
        folder, outcome, listener = run_plan(tmp_path, plan_of(bad, small_cell()), workers=1)
        assert outcome.finished == 1
        assert "--batch-size 1000000 is more than the dataset's 97500" in outcome.failures[bad.key]
        assert [entry.cell for entry, _ in listener.of("failed")] == [bad]
        failures = {listed.key: listed.failure for listed in folder.index().cells}
        assert failures == {bad.key: outcome.failures[bad.key], small_cell().key: None}

    def test_what_failed_stays_listed_until_it_is_tried_again(self, tmp_path):
        bad, good = small_cell("cql", settings={**SMALL, "batch_size": 10**6}), small_cell()
        both = plan_of(bad, good)
        with MatrixFolder(tmp_path).owned():
            MatrixFolder(tmp_path).write_plan(both, {bad.key: "once", good.key: "once"})

        def failures():
            return {listed.key: listed.failure for listed in MatrixFolder(tmp_path).index("matrix").cells}

        other = replace(both, selected=both.entries[1:])
        _, outcome, _ = run_plan(tmp_path, other, workers=1)
        assert outcome.failures == {}
        assert failures() == {bad.key: "once", good.key: None}
        run_plan(tmp_path, both, workers=1)
        assert "--batch-size 1000000 is more than" in failures()[bad.key]

    def test_a_cell_that_was_stopped_has_not_failed_again(self, tmp_path):
        plan = plan_of(small_cell())
        folder, said = MatrixFolder(tmp_path), Listening()
        with folder.owned():
            folder.write_plan(plan, {small_cell().key: "once"})
            crew = SimpleNamespace(run=lambda *_: iter([Event("stopped", small_cell().key)]))
            assert reproduce(plan, folder, crew, said, lambda: True).stopped == 1
        assert [listed.failure for listed in folder.index().cells] == [None]

    def test_a_damaged_index_is_made_again(self, tmp_path):
        plan = plan_of(small_cell())
        folder = made_up_folder(tmp_path, plan)
        (tmp_path / "matrix.json").write_text("{}")
        with folder.owned():
            reproduce(plan, folder, None, said := Listening(), lambda: False)
        ((note,),) = said.of("note")
        assert "matrix.json" in note
        assert note.endswith(": it is made again")
        assert folder.index().cells[0].key == small_cell().key

    def test_a_killed_worker_fails_its_cell_and_the_next_call_takes_it_up(self, tmp_path):
        long = small_cell("cql", updates=100_000, eval_every=50_000, checkpoint_every=5)
        folder = MatrixFolder(tmp_path)
        crew = Processes(folder.work, workers=1, threads=1)
        seen = []
        for event in crew.run([long, small_cell()], lambda: False):
            if event and event.kind == "updated" and event.key == long.key and event.update > 20:
                os.kill(crew._workers[0].process.pid, signal.SIGKILL)
            seen += [(event.kind, event.key, event.text)] if event else []
        ends = {key: (kind, text) for kind, key, text in seen if kind in ("done", "failed")}
        assert ends[long.key] == ("failed", "its worker was killed by SIGKILL")
        assert ends[small_cell().key][0] == "done"
        assert folder.reached(long) >= 5
        asked = []
        events = crew.run([long], lambda: len(asked) > 2 or asked.append(0))
        kinds = [(event.kind, event.update) for event in events if event]
        assert kinds[0] == ("updated", kinds[0][1])
        assert kinds[0][1] >= 5
        assert kinds[-1][0] == "stopped"

    def test_two_cells_of_a_plan_that_are_the_same_are_trained_once(self, tmp_path):
        folder, outcome, _ = run_plan(tmp_path, plan_of(small_cell(), small_cell(device="cpu")), workers=1)
        assert outcome.finished == 1
        assert len(list(folder.cells.iterdir())) == 1


class TestFolder:
    def test_round_trip(self, tmp_path):
        cell = small_cell("cql")
        folder = made_up_folder(tmp_path, plan_of(cell))
        assert folder.document(cell.key) == made_up(cell, 0.0)
        assert folder.document("0" * 12) is None

    def test_a_damaged_cell_is_made_again(self, tmp_path):
        cell = small_cell()
        folder = made_up_folder(tmp_path, plan_of(cell))
        file = folder.file(cell.key)
        file.write_text(file.read_text().replace('"transitions": 1000', '"transitions": 1001'))
        with pytest.raises(OmarError, match="is damaged or was edited"):
            folder.document(cell.key)
        notes = []
        assert not is_done(folder, cell.key, notes.append)
        assert "it is made again" in notes[0]
        assert folder.file(cell.key) is None

    def test_a_damaged_cell_is_said_once_and_the_rest_is_shown(self, tmp_path, capsys, monkeypatch):
        plan = plan_of(small_cell(), small_cell("omar"))
        folder = made_up_folder(tmp_path, plan)
        file = folder.file(small_cell().key)
        file.write_text("{}")
        monkeypatch.setattr("omar.reproduce.matrix", lambda *_: plan)
        monkeypatch.setattr("omar.matrix.estimate.probed_rate", lambda _: Rate(1.0, 0.0, "a guess"))
        assert main(["--out", str(tmp_path), "--dry-run", "--workers", "1"]) == 0
        said = capsys.readouterr().out
        assert said.count(str(file)) == 1
        assert re.search(f"{file} [^\n]*: the cell counts as not done\n", said)
        assert "1 of 2 cells are done" in said
        assert file.is_file()

    def test_a_cell_under_the_name_of_another_is_refused(self, tmp_path):
        cell = small_cell()
        folder = made_up_folder(tmp_path, plan_of(cell))
        folder.file(cell.key).rename(folder.cells / f"x-{'0' * 12}.json")
        with pytest.raises(OmarError, match="is damaged: it holds another cell than its name says"):
            folder.document("0" * 12)

    def test_a_document_must_have_a_number_for_every_seed(self):
        entries = json.loads(made_up(small_cell()).to_json())
        entries["result"]["evaluations"][0]["scores"] = [1.0]
        del entries["sha256"]
        with pytest.raises(OmarError, match="every list of an evaluation must have a number for every seed"):
            Document.parse(json.dumps(seal(entries)).encode(), "x")

    def test_no_results(self, tmp_path):
        with pytest.raises(OmarError, match=r"holds no results: make them with `python -m omar\.reproduce`"):
            MatrixFolder(tmp_path).index()


class TestEstimate:
    @given(st.lists(st.floats(0, 100), max_size=20), st.integers(1, 5))
    def test_the_last_work_ends_between_its_bounds(self, seconds, workers):
        end = makespan(seconds, workers)
        least = max([sum(seconds) / workers, *seconds]) if seconds else 0.0
        assert least - 1e-6 <= end <= least * 2 + 1e-6

    def test_finished_cells_say_how_long_the_rest_takes(self, tmp_path):
        cell = small_cell("cql")
        folder = made_up_folder(tmp_path, plan_of(cell))
        rate = finished_rates(folder.documents([cell.key], print), [cell])["cql"]
        assert rate.source == "1 finished cells"
        assert rate.update == pytest.approx(60 / 20 / 2)
        assert rate.seconds(replace(cell, updates=40), 10) == pytest.approx(2 * 30 * rate.update)

    def test_evaluations_take_their_time(self):
        cell = small_cell(updates=10, eval_every=5)
        assert Rate(1.0, 100.0, "").seconds(cell) == pytest.approx(2 * (10 + 300))


class TestCommand:
    def test_the_whole_command_and_its_cache(self, tmp_path, capsys):
        arguments = ["--out", str(tmp_path / "m"), *FEW, *QUICK]
        assert main([*arguments, "--dry-run"]) == 0
        said = capsys.readouterr().out
        assert "0 of 1 cells are done; the rest takes about" in said
        assert "from a probe of 12 updates" in said
        assert not (tmp_path / "m").exists()
        assert main(arguments) == 0
        said = capsys.readouterr().out
        assert "[1/1] simple_spread medium-replay bc: score" in said
        assert main(arguments) == 0
        assert "1 cells are there already, 0 to train" in capsys.readouterr().out
        assert main([*arguments, "--dry-run"]) == 0
        assert "1 of 1 cells are done" in capsys.readouterr().out

    def test_results_with_other_options_are_not_overwritten(self, tmp_path, capsys):
        plan = matrix(Lengths(seeds=1, updates=2, eval_episodes=2), FEW[1])
        made_up_folder(tmp_path, plan)
        index = tmp_path / "matrix.json"
        before = index.read_bytes(), (tmp_path / "scores.csv").read_bytes()
        for more, listed in (
            (["--preset", "paper"], "with --preset released"),
            (["--eval-every", "1", "--preset", "paper"], "with --preset released, without --eval-every"),
            (["--preset", "paper", "--dry-run"], "with --preset released"),
        ):
            assert main(["--out", str(tmp_path), *FEW, *QUICK, *more]) == 2
            said = f"error: {index} lists results {listed}: choose another folder with --out\n"
            assert capsys.readouterr().err == said
        assert (index.read_bytes(), (tmp_path / "scores.csv").read_bytes()) == before
        folder, told = MatrixFolder(tmp_path), []
        assert folder.check(replace(plan, lengths=replace(plan.lengths, device="cpu")), told.append) == {}
        with pytest.raises(OmarError, match="lists results with --updates 2: choose"):
            folder.check(matrix(Lengths(seeds=1, eval_episodes=2)), told.append)
        assert told == []

    @pytest.mark.parametrize(
        ("task", "given"),
        [
            ("half_cheetah", {"eval_every": 2500, "eval_episodes": 50}),
            ("simple_world", {"eval_every": 250}),
        ],
    )
    def test_a_default_spelled_out_is_no_other_option(self, tmp_path, task, given):
        only = f"task={task},quality=medium,algorithm=bc"
        for first, second in ((Lengths(), Lengths(**given)), (Lengths(**given), Lengths())):
            plan, again = (matrix(lengths, only, (task,)) for lengths in (first, second))
            folder = made_up_folder(tmp_path / str(first == Lengths()), plan)
            assert folder.check(again, pytest.fail) == {}
            other = replace(second, eval_every=7)
            with pytest.raises(
                OmarError, match=r"lists results with(out)? --eval-every[ 0-9]*: choose another"
            ):
                folder.check(matrix(other, only, (task,)), pytest.fail)

    def test_a_default_of_one_task_is_another_option_in_others(self, tmp_path):
        tasks = ("simple_world", "half_cheetah")
        folder = made_up_folder(tmp_path, matrix(Lengths(), "task=half_cheetah,algorithm=bc", tasks))
        with pytest.raises(OmarError, match="lists results without --eval-every: choose another"):
            folder.check(matrix(Lengths(eval_every=2500), "", tasks), pytest.fail)

    def test_a_default_of_an_ablation_spelled_out_is_no_other_option(self, tmp_path):
        folder = made_up_folder(tmp_path, ablation("agents", Lengths()))
        assert folder.check(ablation("agents", Lengths(updates=6000)), pytest.fail) == {}
        with pytest.raises(OmarError, match="lists results without --updates: choose another"):
            folder.check(ablation("agents", Lengths(updates=2000)), pytest.fail)

    def test_results_of_tasks_that_a_call_leaves_out_are_not_overwritten(self, tmp_path):
        folder, told = made_up_folder(tmp_path, matrix(Lengths(seeds=1), FEW[1], ("simple_spread",))), []
        with pytest.raises(
            OmarError, match="lists results of simple_spread: name them, too, use --only, or choose"
        ):
            folder.check(matrix(Lengths(seeds=1), tasks=("simple_tag",)), told.append)
        with pytest.raises(OmarError, match="lists results of simple_spread, with --seeds 1: choose"):
            folder.check(matrix(Lengths(), tasks=("simple_tag",)), told.append)
        assert folder.check(matrix(Lengths(seeds=1)), told.append) == {}
        assert told == []

    def test_a_task_is_trained_once_and_an_ablation_has_its_own(self, tmp_path, capsys):
        assert len(matrix(Lengths(), tasks=("simple_tag", "simple_tag")).entries) == 4 * len(
            PARTICLE_ALGORITHMS
        )
        assert main(["--out", str(tmp_path), "--ablation", "tau", "--task", "half_cheetah"]) == 2
        assert "--task chooses tasks of the matrix: leave it out with --ablation" in capsys.readouterr().err

    def test_half_cheetah_has_a_rate_of_its_own(self, monkeypatch):
        asked = []
        monkeypatch.setattr("omar.matrix.estimate.train", lambda config, watch: asked.append(config.seeds))
        monkeypatch.setattr(
            "omar.matrix.estimate._Stopwatch",
            lambda: SimpleNamespace(updates=[2.0], evaluations=[1.0], preparations=[]),
        )
        cells = [Cell(task, "random", "bc") for task in ("simple_tag", "simple_world", "half_cheetah")]
        found = rates({}, [], cells, lambda _: None)
        assert list(found) == ["bc", "bc on half_cheetah"]
        assert asked == [5, 1]
        assert found["bc on half_cheetah"].update == 5 * found["bc"].update == 2.0

    def test_a_plan_without_results_is_replaced(self, tmp_path):
        folder, told = MatrixFolder(tmp_path), []
        with folder.owned():
            folder.write_plan(matrix(Lengths(updates=2)), {})
        assert folder.check(matrix(Lengths()), told.append) == {}
        made_up_folder(tmp_path, plan_of(small_cell()))
        with pytest.raises(OmarError, match="lists results without --updates"):
            folder.check(matrix(Lengths(updates=2)), told.append)
        assert told == []

    def test_a_failed_cell_is_the_exit_status(self, tmp_path, capsys, monkeypatch):
        plan = plan_of(small_cell(settings={"batch_size": 10**6}))
        monkeypatch.setattr("omar.reproduce.matrix", lambda *_: plan)
        assert main(["--out", str(tmp_path), "--workers", "1"]) == 1
        said = capsys.readouterr().out
        assert "failed: --batch-size 1000000 is more than" in said
        assert "1 failed: the same command tries them again" in said

    def test_ctrl_c_leaves_cells_to_take_up(self, tmp_path):
        long = ["--updates", "100000", "--seeds", "1", "--eval-episodes", "2", "--workers", "1"]
        command = [sys.executable, "-m", "omar.reproduce", "--out", str(tmp_path), *FEW, *long]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not list(tmp_path.glob("work/*/checkpoint/*.json")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 130, err
        assert "1 are left: the same command goes on with them" in out
        assert list(tmp_path.glob("work/*/checkpoint/update-????????.json"))
        assert not list(tmp_path.glob("cells/*"))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--workers", "0"], "--workers must be in [1, 1024], got 0"),
            (["--threads", "0"], "--threads must be in [1, 1024], got 0"),
            (["--seeds", "0"], "--seeds must be at least 1, got 0"),
            (["--only", "x"], "--only takes parts like task=simple_tag,quality=expert, got 'x'"),
        ],
    )
    def test_messages(self, tmp_path, capsys, arguments, message):
        assert main(["--out", str(tmp_path / "new"), *arguments]) == 2
        assert message in capsys.readouterr().err

    def test_a_second_process_is_told_that_the_folder_is_taken(self, tmp_path, capsys):
        with MatrixFolder(tmp_path).owned():
            assert main(["--out", str(tmp_path), *FEW, *QUICK]) == 2
        assert "another process is working on" in capsys.readouterr().err


def test_the_listener_of_a_training_hears_its_notes():
    told = []
    relay = Relay(lambda kind, **more: told.append((kind, more)))
    relay.note("careful")
    relay.paused()
    assert told == [("note", {"text": "careful"})]


class TestBoard:
    def shown(self, **updates):
        """What a board that is no terminal prints of two trainings of 100 updates."""
        text = io.StringIO()
        board = Board(Console(file=text, width=200))
        with board:
            board.begin("two to train", {"a": 100, "b": 100})
            for title, update in updates.items():
                board.update(title, update)
            yield board
        yield text.getvalue()

    def test_it_prints_a_line_for_every_end(self):
        steps = self.shown(a=0, b=0)
        board = next(steps)
        board.end("a", "score 1.0")
        board.end("b", "failed: no", failed=True)
        lines = next(steps).splitlines()
        assert lines[0] == "two to train"
        assert lines[1].startswith("[1/2] a: score 1.0  (")
        assert lines[2] == "[2/2] b: failed: no"

    def test_the_time_left_counts_only_what_was_done_here(self):
        board = next(self.shown(a=50, b=0))
        assert board.left() is None  # a was taken up at 50
        board.update("a", 75)
        left = board.left()
        assert left is not None
        assert 0 < left < 60

    @pytest.mark.parametrize(
        ("seconds", "text"), [(5, "5 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (7500, "2 h 05 min")]
    )
    def test_times(self, seconds, text):
        assert hours(seconds) == text


def test_a_worker_that_is_killed_in_the_middle_of_a_line_is_gone():
    worker, killed = object.__new__(crew._Worker), []
    worker.process = SimpleNamespace(stdout=io.StringIO('{"kind": "upda'), kill=lambda: killed.append(True))
    worker._messages = queue.Queue()
    worker._read()
    assert isinstance(worker._messages.get_nowait(), crew._Gone)
    assert killed
