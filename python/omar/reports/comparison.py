"""Scores beside the paper's and the best published since, as tables with intervals and as CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np

from ..tasks import TASKS, Score
from .published import best, published
from .results import short
from .sheet import Field, Sheet
from .statistics import (
    Interval,
    difference,
    interquartile_mean,
    mean_interval,
    number,
    stratified_interval,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from .results import Found, Results

INTERVALS = "Brackets are 95% intervals"


def paper(task: str, quality: str, algorithm: str) -> Score | None:
    """The paper's final score, where it has this algorithm."""
    return TASKS[task].qualities[quality].scores.get(algorithm)


def plus_minus(mean: float, std: float | None) -> str:
    """A mean and its deviation."""
    return number(mean) + ("" if std is None else f" ± {std:.1f}")


def own_score(cell: Found) -> tuple[str, Interval]:
    """Mean ± deviation over the seeds (sample), and the interval of the mean."""
    scores = cell.scores
    std = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return plus_minus(float(np.mean(scores)), std), mean_interval(scores)


def overview(results: Results) -> Sheet:
    """One row for a data set, one column for an algorithm."""
    names = results.algorithms
    sheet = Sheet(
        "Final normalized scores",
        "Mean ± standard deviation over the seeds of the last evaluation; no checkpoint is chosen. "
        f"{INTERVALS} of the mean (Student). Bold: the highest mean of the row among these algorithms. "
        "Every score leads to its cell.",
        ("data set", *names, "best published"),
        anchor="scores",
    )
    for task, quality in results.sets:
        cells = {name: results.get(task, quality, name) for name in names}
        means = {name: float(np.mean(cell.scores)) for name, cell in cells.items() if cell}
        row = [Field(short(task, quality))]
        for name, cell in cells.items():
            if cell is None:
                row.append(Field("not run"))
                continue
            text, interval = own_score(cell)
            first = means[name] == max(means.values())
            row.append(Field(text, interval.text, f"#{cell.anchor}", strong=first))
        highest = best(task, quality)
        sheet.add(*row, Field(f"{highest.mean:.1f}", f"{highest.method} ({highest.source})"))
    return sheet


def matrix_of(results: Results, algorithm: str) -> npt.NDArray[np.float64]:
    """Scores `[seeds, sets]` of the sets that an algorithm has, cut to the seeds that all of them have."""
    found = [c.scores for c in results.cells if c.listed.algorithm == algorithm]
    seeds = min(map(len, found))
    return np.array([scores[:seeds] for scores in found]).T


def aggregates(results: Results) -> Sheet:
    """Mean and interquartile mean over the data sets."""
    sheet = Sheet(
        "Over all data sets",
        "Interquartile mean (of the middle half of all seeds of all data sets) and mean of the final scores. "
        f"{INTERVALS} of a bootstrap that draws the seeds of every data set again (stratified, 5,000 times).",
        ("algorithm", "data sets", "interquartile mean", "mean", "paper's mean of the same sets"),
        anchor="aggregates",
    )
    for name in results.algorithms:
        scores = matrix_of(results, name)
        middle = stratified_interval(scores, interquartile_mean)
        mean = stratified_interval(scores, lambda found: float(found.mean()))
        listed = [
            paper(c.listed.task, c.listed.quality, name) for c in results.cells if c.listed.algorithm == name
        ]
        known = [score.mean for score in listed if score is not None]
        whole = f"{np.mean(known):.1f}" if len(known) == len(listed) else "not in the paper"
        sheet.add(
            Field(name, link=f"#against-{name}"),
            str(scores.shape[1]),
            Field(f"{middle.value:.1f}", middle.text),
            Field(f"{mean.value:.1f}", mean.text),
            whole,
        )
    return sheet


def against(results: Results, algorithm: str) -> Sheet:
    """An algorithm beside the paper's figures and the best ones."""
    sheet = Sheet(
        f"{algorithm} beside what was published",
        "Differences of means; the interval of the difference to the paper is Welch's, with the published "
        "deviation over five seeds; the best published figures come without a deviation and count as exact. "
        "A figure marked * is not comparable, as its note says.",
        ("data set", "here", "paper", "difference", "best published", "difference", "also claimed"),
        anchor=f"against-{algorithm}",
    )
    for cell in results.cells:
        task, quality = cell.listed.task, cell.listed.quality
        if cell.listed.algorithm != algorithm:
            continue
        text, interval = own_score(cell)
        row = [Field(short(task, quality)), Field(text, interval.text, f"#{cell.anchor}")]
        score = paper(task, quality, algorithm)
        if score is None:
            row += [Field("–"), Field("–")]
        else:
            row += [Field(plus_minus(score.mean, score.std)), signed(difference(cell.scores, score))]
        highest = best(task, quality)
        gap = difference(cell.scores, _exact(highest.mean))
        row += [Field(f"{highest.mean:.1f}", highest.method), signed(gap)]
        others = [p for p in published(task, quality) if p is not highest]
        row.append(Field("; ".join(f"{p.method} {p.mean:.1f}{'*' if p.caveat else ''}" for p in others)))
        sheet.add(*row)
    caveats = {
        f"{p.method} ({p.source}): {p.caveat}" for s in results.sets for p in published(*s) if p.caveat
    }
    if caveats:
        sheet.caption += " * " + "; ".join(sorted(caveats)) + "."
    return sheet


def _exact(mean: float) -> Score:
    return Score(mean, None)


def signed(interval: Interval) -> Field:
    """A difference with its sign."""
    return Field(number(interval.value, "+"), interval.text)


def overestimation(results: Results) -> Sheet:
    """What critics say beside what it comes to."""
    sheet = Sheet(
        "Overestimation",
        "Mean value that the first critic gives the final policy's actions in the states of 100 episodes of "
        "every seed, less the mean discounted return from the same states, in units of reward; both without "
        f"a time limit, as the critics' targets have it. {INTERVALS} over the seeds (Student); in the second "
        "line the value and the return themselves. Negative: pessimism, as conservatism intends.",
        ("data set", *results.algorithms),
        anchor="overestimation",
    )
    for task, quality in results.sets:
        row = [Field(short(task, quality))]
        for name in results.algorithms:
            cell = results.get(task, quality, name)
            over = cell.overestimation if cell else None
            if cell is None or over is None:
                row.append(Field("not run" if cell is None else "no critic"))
                continue
            interval, last = mean_interval(over), cell.document.result.last
            said, is_ = (float(np.mean(each or ())) for each in (last.values, last.discounted))
            text = f"{interval.text}\n{number(said)} against {number(is_)}"
            row.append(Field(number(interval.value, "+"), text.strip(), f"#{cell.anchor}"))
        sheet.add(*row)
    return sheet


def numbers(results: Results) -> str:
    """The comparison as CSV, a row for every cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = ("task", "quality", "algorithm", "variant", "seeds", "mean", "std", "low", "high", "paper_mean")
    more = ("paper_std", "difference", "difference_low", "difference_high", "best", "best_method")
    writer.writerow((*columns, *more, "overestimation", "seconds"))
    for cell in results.cells:
        listed, scores = cell.listed, cell.scores
        interval, score = mean_interval(scores), paper(listed.task, listed.quality, listed.algorithm)
        gap = Interval(0.0) if score is None else difference(scores, score)
        highest, over = best(listed.task, listed.quality), cell.overestimation
        row = (
            *(listed.task, listed.quality, listed.algorithm, listed.variant, len(scores)),
            *(interval.value, float(np.std(scores, ddof=1)) if len(scores) > 1 else None),
            *(interval.low, interval.high),
            *((None,) * 5 if score is None else (score.mean, score.std, gap.value, gap.low, gap.high)),
            *(highest.mean, highest.method, None if over is None else float(np.mean(over))),
            cell.document.made.seconds,
        )
        writer.writerow([round(each, 4) if isinstance(each, float) else each for each in row])
    return text.getvalue()
