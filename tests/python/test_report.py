"""Reports: intervals against other implementations, tables, the page and its links."""

from __future__ import annotations

import csv
import itertools
import re
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix_cases import made_up_folder, plan_of, plan_with, small_cell
from omar.matrix.folder import MatrixFolder
from omar.matrix.plan import Entry
from omar.report import main
from omar.reports.background import ablation
from omar.reports.comparison import overview
from omar.reports.curves import PRINT, picture, vector
from omar.reports.published import best, published
from omar.reports.results import read_results
from omar.reports.sheet import Field, Sheet
from omar.reports.statistics import (
    Interval,
    difference,
    interquartile_mean,
    mean_interval,
    number,
    stratified_interval,
    t_quantile,
)
from omar.tasks import QUALITIES, TASKS, Score


class TestStatistics:
    @pytest.mark.parametrize(
        ("probability", "degrees", "expected"),
        # Tables of Student's distribution.
        [
            (0.975, 1, 12.7062),
            (0.975, 4, 2.77645),
            (0.975, 9, 2.26216),
            (0.95, 2, 2.91999),
            (0.975, 200, 1.97190),
        ],
    )
    def test_quantiles_are_those_of_tables(self, probability, degrees, expected):
        assert t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-4)

    @given(st.floats(0.51, 0.999))
    def test_two_degrees_of_freedom_have_a_closed_form(self, probability):
        expected = (2 * probability - 1) / np.sqrt(2 * probability * (1 - probability))
        assert t_quantile(probability, 2) == pytest.approx(expected, rel=1e-4)

    def test_the_interval_of_a_mean(self):
        found = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
        half = 2.776445 * np.sqrt(2.5 / 5)
        assert (found.value, found.low, found.high) == pytest.approx((3, 3 - half, 3 + half), rel=1e-4)
        assert mean_interval([7.0]) == Interval(7.0)

    def test_a_difference_is_welchs(self):
        values, score = [10.0, 12.0, 14.0, 11.0, 13.0], Score(9.0, 2.0)
        found = difference(values, score)
        a, b = 2.5 / 5, 4.0 / 5
        degrees = (a + b) ** 2 / (a**2 / 4 + b**2 / 4)
        half = t_quantile(0.975, degrees) * np.sqrt(a + b)
        assert (found.value, found.low, found.high) == pytest.approx((3, 3 - half, 3 + half))
        exact = difference(values, Score(9.0, None))
        own = mean_interval(values)
        assert (exact.low, exact.high) == (own.low - 9.0, own.high - 9.0)
        assert difference([1.0], score) == Interval(-8.0)

    @given(st.lists(st.floats(-100, 200), min_size=1, max_size=60))
    def test_the_interquartile_mean_drops_a_quarter_at_both_ends(self, values):
        left = list(values)
        for _ in range(len(values) // 4):
            left.remove(min(left))
            left.remove(max(left))
        assert interquartile_mean(np.array(values)) == pytest.approx(sum(left) / len(left), abs=1e-9)

    @pytest.mark.parametrize("aggregate", [interquartile_mean, lambda x: float(x.mean())])
    def test_the_bootstrap_has_the_quantiles_of_all_resamples(self, aggregate):
        """Three seeds of three sets: all 27^3 ways to draw them."""
        scores = np.random.default_rng(0).normal([0, 20, 40], 10, (3, 3))
        draws = list(itertools.product(range(3), repeat=3))
        every = [
            aggregate(np.stack([scores[list(rows), k] for k, rows in enumerate(chosen)], axis=1))
            for chosen in itertools.product(draws, repeat=3)
        ]
        low, high = np.quantile(every, [0.025, 0.975])
        found = stratified_interval(scores, aggregate, resamples=10_000)
        assert found.value == pytest.approx(aggregate(scores))
        assert (found.low, found.high) == pytest.approx((low, high), abs=0.05 * (high - low))

    def test_seeds_are_drawn_within_their_set(self):
        """Sets that differ by far have a narrow interval as long as no set is drawn twice."""
        scores = np.array([[0.0, 100.0], [0.0, 100.0], [0.0, 100.0]])
        found = stratified_interval(scores, lambda x: float(x.mean()), resamples=50)
        assert (found.low, found.value, found.high) == (50, 50, 50)

    @pytest.mark.parametrize(("value", "text"), [(-0.04, "0.0"), (-3.14, "−3.1"), (2, "2.0")])
    def test_numbers(self, value, text):
        assert number(value) == text


class TestPublished:
    def test_every_set_has_a_best_figure_and_none_with_a_caveat(self):
        for task in TASKS:
            for quality in QUALITIES:
                found = published(task, quality)
                assert best(task, quality).mean == max(p.mean for p in found if not p.caveat)
        assert best("simple_tag", "medium-replay").method == "DOM2"
        assert best("simple_world", "expert").mean == 122.6


def test_a_table_escapes_and_links():
    sheet = Sheet("A & B", "x < y", ("set", "a|b"))
    sheet.add("one", Field("<1>", "[0, 2]", "#cell", strong=True))
    assert '<td><a href="#cell"><strong>&lt;1&gt;</strong></a><small>[0, 2]</small></td>' in sheet.html()
    assert "<b>A &amp; B.</b> x &lt; y" in sheet.html()
    assert "| one | **<1> [0, 2]** |" in sheet.markdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of three algorithms on two sets, one cell missing, and an ablation."""
    path = tmp_path_factory.mktemp("results")
    pairs = [(q, a) for q in ("medium-replay", "medium") for a in ("omar", "cql", "bc")]
    plan = plan_of(*(small_cell(a, quality=q) for q, a in pairs))
    made_up_folder(path, plan_with("matrix", plan.entries, plan.entries[:-1]))
    entries = tuple(Entry(small_cell("omar", settings={"tau": tau}), f"tau {tau}") for tau in (0.0, 0.5))
    made_up_folder(path, plan_with("ablation-tau", entries))
    return MatrixFolder(path)


class TestReport:
    def test_the_command_writes_a_page_that_needs_nothing_else(self, folder, tmp_path, capsys):
        out = tmp_path / "out"
        assert main(["--results", str(folder.path), "--out", str(out)]) == 0
        assert "1 of the cells are not done" in capsys.readouterr().out
        page = (out / "index.html").read_text(encoding="utf-8")
        anchors = set(re.findall(r'id="([^"]+)"', page))
        links = re.findall(r'href="([^"]+)"', page)
        assert {link[1:] for link in links if link.startswith("#") and "clip" not in link} <= anchors
        files = {link for link in links if not link.startswith("#")}
        assert len(files) == 7
        assert all((out / file).is_file() for file in files)
        assert not re.search(r'(src|href)="https?:', page)
        assert "<script" not in page
        assert page.count("<figcaption>") == page.count("<figure")
        assert "Ablation: tau" in page
        assert '<a href="#ablations">' in page
        assert "<b>CN medium-replay, omar, tau 0.5.</b>" in page
        assert (out / "figure6.png").read_bytes().startswith(b"\x89PNG")
        assert "| CN medium | 30.5 ± 0.7" in (out / "tables.md").read_text(encoding="utf-8")
        with (out / "numbers.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["algorithm"] for row in rows] == ["omar", "cql", "bc", "omar", "cql"]
        assert float(rows[0]["mean"]) == pytest.approx(0.5)
        assert float(rows[0]["difference"]) == pytest.approx(0.5 - 37.9)
        assert float(rows[0]["overestimation"]) == pytest.approx(10.0)
        assert rows[2]["overestimation"] == rows[2]["paper_mean"] == ""

    def test_numbers_of_agents_are_rows_of_one_column(self, tmp_path):
        pairs = [(n, a) for n in (1, 2) for a in ("omar", "cql")]
        entries = tuple(
            Entry(small_cell(a, task=f"simple_spread_{n}", quality="random"), f"{n} agents") for n, a in pairs
        )
        folder = made_up_folder(tmp_path, plan_with("ablation-agents", entries))
        sheet = ablation(read_results(folder, "ablation-agents", print))
        assert sheet.columns == ("variant", "random, omar", "random, cql")
        assert [[each.text for each in row] for row in sheet.rows] == [
            ["1 agents", "0.5 ± 0.7", "10.5 ± 0.7"],
            ["2 agents", "20.5 ± 0.7", "30.5 ± 0.7"],
        ]

    def test_the_same_results_give_the_same_page(self, folder, tmp_path):
        for name in ("a", "b"):
            assert main(["--results", str(folder.path), "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / "a" / "index.html").read_bytes() == (tmp_path / "b" / "index.html").read_bytes()

    def test_every_score_has_an_interval_and_leads_to_its_cell(self, folder):
        results = read_results(folder, "matrix", print)
        rows = overview(results).rows
        assert [row[0].text for row in rows] == ["CN medium-replay", "CN medium"]
        for row in rows:
            for each in row[1:-1]:
                assert each.text == "not run" or (
                    each.small.startswith("[") and each.link.startswith("#cell-")
                )
        assert [each.strong for each in rows[1][1:3]] == [False, True]

    def test_a_panel_shows_all_algorithms_and_the_papers_scores(self, folder):
        results = read_results(folder, "matrix", print)
        drawn = vector(results, "simple_spread", "medium-replay", PRINT)
        assert drawn.startswith("<svg")
        assert all(colour in drawn.lower() for colour in ("#0072b2", "#e69f00", "#009e73"))
        assert picture(results) == picture(results)

    def test_what_is_damaged_is_said_and_left_out(self, folder, tmp_path, capsys):
        shutil.copytree(folder.path, tmp_path / "results")
        copy = MatrixFolder(tmp_path / "results")
        damaged = copy.file(copy.index().cells[0].key)
        damaged.write_text(damaged.read_text()[:-9])
        (copy.path / "ablation-mu.json").write_text("[]")
        entry = Entry(small_cell("omar", settings={"sigma": 1.0}), "sigma 1")
        copy.write_plan(plan_with("ablation-sigma", (entry,), ()), {})
        assert main(["--results", str(copy.path), "--out", str(tmp_path / "out")]) == 0
        said = capsys.readouterr().out.splitlines()
        assert [line for line in said if str(damaged) in line] == said[:1]
        assert said[0].endswith(": the cell counts as not done")
        assert said[1].startswith(f"{copy.path / 'ablation-mu.json'} ")
        assert said[1].endswith(": left out")
        assert "holds no cell of ablation-sigma that is done" in said[2]
        assert "2 of the cells are not done" in said[-1]
        page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
        assert "Ablation: tau" in page
        assert "Ablation: sigma" not in page

    def test_messages(self, tmp_path, capsys):
        assert main(["--results", str(tmp_path)]) == 2
        assert "holds no results: make them with" in capsys.readouterr().err
        plan = plan_of(small_cell())
        made_up_folder(tmp_path, plan_with("matrix", plan.entries, ()))
        assert main(["--results", str(tmp_path)]) == 2
        assert "holds no cell of matrix that is done" in capsys.readouterr().err
