"""Benchmarks at tiny sizes: every figure has a bound, the file is whole, faults are one sentence."""

import importlib.util
import json
import sys
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest
import torch

from omar import _bounds, bench
from omar.benchmarks import critics, dataset, half_cheetah, learner, particle, peers, replay, rollout
from omar.benchmarks.cem import CASES, Case
from omar.benchmarks.measure import Record, Setup, Spread
from omar.data import generate
from omar.data.generate import make_plan

ROOT = Path(__file__).parents[2]
TINY = Setup(seconds=1e-3, threads=(1,))


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    """Sizes at which a figure takes milliseconds; datasets go to a folder of the test."""
    monkeypatch.setenv("OMAR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(particle, "WORLDS", (4, 8))
    monkeypatch.setattr(half_cheetah, "WORLDS", (2,))
    monkeypatch.setattr(generate, "CHUNK", 100)
    monkeypatch.setattr(dataset, "STEPS", 250)
    monkeypatch.setattr(replay, "ROWS", 640)
    monkeypatch.setattr(replay, "BATCH", 32)
    monkeypatch.setattr(replay, "DRAWS", 20)
    monkeypatch.setattr(learner, "ROWS", 100)
    for name in ("PARTICLE", "FIXED", "CHEETAH"):
        case = getattr(learner, name)
        small = replace(case.backbone, batch_size=8, hidden=16)
        monkeypatch.setattr(learner, name, replace(case, agents=2, obs_size=6, backbone=small))
    monkeypatch.setattr(critics, "CASE", critics.Case(seeds=2, agents=2, obs_size=6, batch=8, hidden=16))
    monkeypatch.setattr(
        "omar.benchmarks.cem.CASES", tuple(Case(c.name, 8, 6, c.action_size, 16, c.options) for c in CASES)
    )
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def records_of(name, setup=TINY):
    return list(importlib.import_module(f"omar.benchmarks.{name}").run(setup))


COUNTS = {
    "particle": 6,
    "half_cheetah": 1,
    "rollout": 3,
    "dataset": 1,
    "replay": 2,
    "cem": 6,
    "critics": 6,
    "learner": 12,
}


@pytest.mark.parametrize("name", bench.NAMES)
def test_every_figure_of_ours_has_a_bound_that_is_explained(name):
    found = records_of(name)
    assert len(found) == COUNTS[name]
    for r in found:
        assert r.name.startswith(f"{name}/")
        assert r.threads == 1
        assert 0 < r.min <= r.median <= r.max
        if r.name != "replay/torch index_select":
            assert r.bound > 0
            assert r.share > 0
            assert r.bound_is


@pytest.mark.parametrize(
    ("bound", "arguments", "message"),
    [
        (_bounds.fma_flops, (0.0,), "`seconds` must be positive, got 0"),
        (_bounds.particle_steps, (0, 3, 57, 0.01), "`worlds` must be at least 1, got 0"),
        (_bounds.particle_steps, (1, 2000, 57, 0.01), "`agents` must be at most 1024, got 2000"),
        (
            _bounds.particle_steps,
            (2**60, 3, 57, 0.01),
            "the numbers of the worlds are more than a machine can",
        ),
        (_bounds.gather_rows, (2**32 + 1, 64, 1, 0.01), r"`rows` must be at most 2\^32, got 4294967297"),
        (_bounds.gather_rows, (2, 63, 1, 0.01), "`row_bytes` must be a positive multiple of 64, got 63"),
        (_bounds.gather_rows, (2, 64, 2**60, 0.01), "the rows of a minibatch are more than a machine can"),
        (_bounds.gather_rows, (2**32, 2**40, 1, 0.01), "rows are more than a machine can address"),
    ],
)
def test_a_bound_names_what_it_cannot_do(bound, arguments, message):
    with pytest.raises(ValueError, match=message):
        bound(*arguments)


@pytest.mark.parametrize("name", ["rollout", "dataset"])
def test_each_number_of_threads_has_its_figure(name):
    found = records_of(name, Setup(seconds=1e-3, threads=(1, 2)))
    assert {r.threads for r in found} == {1, 2}
    assert len(found) == 2 * COUNTS[name]


@pytest.mark.parametrize("name", ["half_cheetah", "rollout", "dataset"])
def test_what_runs_on_the_cpu_alone_yields_nothing_for_another_device(name):
    assert records_of(name, Setup(seconds=1e-3, threads=(1,), device="cuda")) == []


def test_flops_of_a_plan_are_those_of_its_networks():
    spread, tag = (make_plan(name, "expert", steps=25) for name in ("simple_spread", "simple_tag"))
    assert rollout.policy_flops(spread) == 3 * 2 * (18 * 64 + 64 * 64 + 64 * 2)
    assert rollout.policy_flops(tag) == 3 * 2 * (16 * 64 + 64 * 64 + 64 * 2) + 2 * (
        14 * 64 + 64 * 64 + 64 * 2
    )
    assert rollout.layers(tag) == "3 learners 16-64-64-2, 1 prey 14-64-64-2"
    assert rollout.policy_flops(make_plan("simple_spread", "random", steps=25)) == 0


def test_a_dataset_is_timed_whole_and_leaves_nothing(tmp_path, monkeypatch):
    built = []

    def build(plan, path, *, progress):
        made = generate.build(plan, path, progress=progress)
        made.verify()
        built.append((plan.seed, plan.steps, dataset.folder_bytes(path)))
        return made

    monkeypatch.setattr(dataset, "build", build)
    (r,) = records_of("dataset")
    assert [(seed, steps) for seed, steps, _ in built] == [(i, 250) for i in range(dataset.REPEATS)]
    assert min(size for *_, size in built) > 250 * 3 * (18 + 18 + 2 + 1) * 4
    assert r.unit == "s"
    assert list((tmp_path / "home").iterdir()) == []


def test_the_bytes_of_the_bound_are_all_written(tmp_path, monkeypatch):
    sizes = []
    monkeypatch.setattr(dataset, "CHUNK", 1000)
    monkeypatch.setattr(dataset.os, "fsync", lambda fd: sizes.append(dataset.os.fstat(fd).st_size))
    assert dataset.seconds_to_write(tmp_path / "bytes", 2500) > 0
    assert sizes == [2500]
    assert not (tmp_path / "bytes").exists()


def test_the_rows_of_a_peer_are_new_at_every_draw(monkeypatch):
    seen = []

    def select(packed, indices):
        seen.append(next(indices))
        return packed.index_select(0, seen[-1])

    monkeypatch.setattr(replay, "select", select)
    records_of("replay")
    assert len(seen) >= 11
    assert len({tuple(rows.tolist()) for rows in seen}) == min(len(seen), replay.DRAWS)


def test_select_takes_the_next_rows():
    packed = torch.arange(6.0)[:, None]
    rows = cycle([torch.tensor([0, 1]), torch.tensor([4, 5])])
    found = [replay.select(packed, rows).flatten().tolist() for _ in range(3)]
    assert found == [[0, 1], [4, 5], [0, 1]]


def test_a_share_of_time_is_the_bound_over_it():
    spread = Spread.of([2.0, 4.0, 1.0])
    assert (spread.median, spread.min, spread.max) == (2.0, 1.0, 4.0)
    assert Record.of("a", "", spread, "ms", bound=1.0).share == 0.5
    assert Record.of("a", "", spread, "s", bound=1.0).share == 0.5
    assert Record.of("a", "", spread, "batches/s", bound=4.0).share == 0.5
    assert Record.of("a", "", spread, "batches/s").share is None


def test_the_bound_of_bf16_says_that_it_can_be_passed():
    for name in ("cem", "critics", "learner"):
        for r in records_of(name):
            assert ("bf16" in r.name + r.setting) == ("bf16" in r.bound_is)


def run_tiny(*arguments):
    return bench.main(["particle", "--seconds", "0.001", "--threads", "1", *arguments])


def test_the_file_says_where_each_figure_comes_from(tmp_path, capsys):
    path = tmp_path / "records.json"
    assert run_tiny("--json", str(path)) == 0
    found = json.loads(path.read_text())
    assert len(found) == 6
    for entry in found:
        assert {"cpu", "cores", "cpu_level", "gpu"} == entry["machine"].keys()
        assert {"omar", "torch", "numpy", "python"} == entry["versions"].keys()
        assert entry["versions"]["torch"] == torch.__version__
        assert entry["commit"]
        assert entry["date"]
        assert {
            "name",
            "setting",
            "threads",
            "median",
            "min",
            "max",
            "unit",
            "bound",
            "bound_is",
        } < entry.keys()
    assert [p.name for p in tmp_path.iterdir()] == ["records.json"]
    progress = capsys.readouterr().err
    assert progress.count("of the bound\n") == 6


def test_a_file_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "records.json"
    path.write_text("old")

    def replace_file(self, target):
        raise OSError("no")

    monkeypatch.setattr(Path, "replace", replace_file)
    with pytest.raises(OSError, match="no"):
        bench.save([], path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["records.json"]


def test_the_number_of_threads_is_restored():
    before = torch.get_num_threads()
    list(bench.records(bench.BenchConfig(names=("particle",), seconds=1e-3, threads=(before + 1,))))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--json", "no/such/folder/file.json"],
            "error: no/such/folder/file.json: No such file or directory\n",
        ),
        (["--json", "/proc/file.json"], "error: /proc/file.json: No such file or directory\n"),
        (["--json", "x" * 300], f"error: {'x' * 300}: File name too long\n"),
        (["--threads", "0"], "--threads must be in 1..1024, got 0"),
        (["--threads", "1", str(10**30)], f"--threads must be in 1..1024, got 1 {10**30}\n"),
        (["--seconds", "0"], "--seconds must be positive, got 0"),
        (["--seconds", "nan"], "--seconds must be positive, got nan"),
        (["--device", "sky"], "--device must be cpu or cuda, got 'sky'"),
        (["--device", "meta"], "--device must be cpu or cuda, got 'meta'"),
    ],
)
def test_faults_are_found_before_anything_is_timed(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(bench, "records", lambda config: pytest.fail("timed"))
    assert bench.main(["particle", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_is_no_file(tmp_path, capsys):
    assert bench.main(["particle", "--json", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}: Is a directory\n"


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_a_sentence(capsys):
    assert bench.main(["particle", "--device", "cuda"]) == 2
    assert "sees no GPU" in capsys.readouterr().err


def test_an_unknown_benchmark_names_the_known_ones(capsys):
    with pytest.raises(SystemExit) as stop:
        bench.main(["particles"])
    assert stop.value.code == 2
    message = "".join(capsys.readouterr())
    assert "particles" in message
    assert all(name in message for name in bench.NAMES)


def fake_peers(*entries):
    return tuple(peers.Peer(package, benchmark, measure) for package, benchmark, measure in entries)


def test_peers_run_with_their_benchmark_and_a_fault_of_one_costs_only_its_figure(monkeypatch, capsys):
    def works(setup):
        yield Record.of("peer/works", "", Spread.of([1.0]), "batches/s")

    def breaks(setup):
        raise RuntimeError("of another version")

    fakes = fake_peers(
        ("json", "replay", works),
        ("decimal", "replay", breaks),
        ("no_such_package", "replay", works),
        ("email", "particle", works),
    )
    monkeypatch.setattr(peers, "PEERS", fakes)
    assert [r.name for r in peers.run(TINY, ("replay",))] == ["peer/works"]
    message = capsys.readouterr().err
    assert "decimal fails: RuntimeError: of another version" in message
    assert "no_such_package is not installed: no figure of it" in message
    assert peers.installed() == ("json", "decimal", "email")


def test_the_mpe2_peer_yields_a_figure():
    pytest.importorskip("mpe2")
    (r,) = peers.mpe2(TINY)
    assert r.name == "peer/mpe2 simple_spread"
    assert r.threads == 1
    assert r.median > 0


@pytest.fixture
def table():
    spec = importlib.util.spec_from_file_location("benchmark_table", ROOT / "benchmarks" / "table.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_the_readme_shows_what_the_committed_records_say(table):
    readme = table.README.read_text(encoding="utf-8")
    assert len(table.BLOCK.findall(readme)) >= 1
    assert table.filled(readme) == readme


def test_a_table_has_figure_bound_and_share_for_each_number_of_threads(table):
    def record(name, setting, threads, median, unit, bound=None):
        return Record(name, setting, threads, median, median, median, unit, bound, "")

    rows = "1024 of 1000000 rows of 480 B, cpu"
    found = [
        record("replay/sample", rows, 1, 9000.0, "batches/s", 12000.0),
        record("replay/sample", rows, 2, 18000.0, "batches/s", 20000.0),
        record("dataset/simple_spread", "1000000 steps", 2, 2.0, "s", 1.0),
        record("peer/cpprb", rows, 1, 2000.0, "batches/s"),
    ]
    assert table.figures(found) == (
        "| work | target | measured, 1 core | bound | share | measured, 2 cores | bound | share |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| `replay/sample` 1024 of 1000000 rows of 480 B (batches/s) | ≥ 9k on 1 core, ≥ 17k on 2 "
        "| 9k | 12k | 75% | 18k | 20k | 90% |\n"
        "| `dataset/simple_spread` 1000000 steps (s) | ≤ 6 on 2 cores |  |  |  | 2 | 1 | 50% |\n"
    )
    assert table.others(found).splitlines()[-1] == (
        "| `peer/cpprb` 1024 of 1000000 rows of 480 B (batches/s) | 1 | 2k "
        "| 1024 of 1000000 rows of 480 B | 9k | 4.5 x |"
    )


def test_every_target_has_its_figure_in_the_committed_records(table):
    results = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    found = [r for path in results for r in table.read(path)[0]]
    for name, start in [*table.TARGETS, *table.SAME_WORK.values()]:
        assert [r for r in found if r.name == name and r.setting.startswith(start)], (name, start)


def test_a_file_that_holds_no_records_is_a_sentence(table, tmp_path):
    path = tmp_path / "x.json"
    for content in ("{}", "[]", "not json", '[{"name": "a"}]'):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"is not what `python -m omar\.bench --json` writes"):
            table.read(path)
