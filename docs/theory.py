"""The numbers and the plot of theory.md: `python docs/theory.py` prints the tables and draws theory.png."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from omar.theory import (
    Problem,
    conservative_q,
    deterministic,
    divergence,
    expected_return,
    improved_policy,
    objective,
    occupancy,
    rectified_policy,
    sides,
    values,
)

ALPHA = 0.1
TAUS = (0.0, 0.3, 0.5, 0.7, 0.9)

# Two places, three actions at -1, 0 and 1: the further right, the likelier the second place comes next.
PULL = [[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]]
EXAMPLE = Problem(
    rewards=[[0.0, 0.2, 0.1], [0.3, 0.5, 1.0]],
    transitions=[PULL, PULL],
    start=[1.0, 0.0],
    behaviour=[[0.6, 0.3, 0.1], [0.3, 0.4, 0.3]],
    actions=[[-1.0], [0.0], [1.0]],
    found=[[1.0], [0.5]],
    gamma=0.9,
)
# One place, two actions worth the same, which the behaviour takes equally often.
TIE = Problem([[1.0, 1.0]], [[[1.0], [1.0]]], [1.0], [[0.5, 0.5]], [[-1.0], [1.0]], [[1.0]], 0.9)
# One place; the search has found the action that earns nothing.
WRONG = Problem([[0.5, 0.0]], [[[1.0], [1.0]]], [1.0], [[0.99, 0.01]], [[0.0], [1.0]], [[1.0]], 0.9)


def numbers(values_: object, digits: int = 3) -> str:
    """Numbers of an array, separated by commas."""
    return ", ".join(f"{value:.{digits}f}" for value in np.ravel(np.asarray(values_)))


def fixed_point() -> str:
    """The values of the conservative fixed point, and what the two ways to write them give."""
    policy = deterministic([1, 2], 3)
    true, each = values(EXAMPLE, policy), divergence(EXAMPLE, policy)
    conservative = (policy * conservative_q(EXAMPLE, policy, ALPHA)).sum(axis=1)
    shares = occupancy(EXAMPLE, policy)
    lost = ALPHA / (1 - EXAMPLE.gamma) * float(shares @ each)
    rows = [
        ("V", numbers(true)),
        ("D", numbers(each)),
        ("value of the fixed point", numbers(conservative)),
        ("V - alpha D, equation (6) as printed", numbers(true - ALPHA * each)),
        ("J and alpha / (1 - gamma) E D", f"{expected_return(EXAMPLE, policy):.3f}, {lost:.3f}"),
        ("their difference", f"{expected_return(EXAMPLE, policy) - lost:.3f}"),
    ]
    return table(("", "first place, second place"), rows)


def inequality() -> str:
    """Both sides of the inequality for several weights tau."""
    rows = []
    for tau in TAUS:
        policy = rectified_policy(EXAMPLE, ALPHA, tau)
        found = sides(EXAMPLE, policy, ALPHA, tau)
        parts = (found.divergence, found.distance, found.behaviour, found.right, found.left)
        rows.append((f"{tau}", numbers(policy[0], 2), numbers(policy[1], 2), *(f"{p:.3f}" for p in parts)))
    head = (
        "tau",
        "pi* in the first place",
        "in the second",
        "divergence",
        "distance",
        "behaviour's distance",
    )
    return table((*head, "right side", "left side"), rows)


def counterexamples() -> str:
    """Where the inequality fails."""
    choices = rectified_policy(TIE, 0.5, 0.0, stochastic=False)
    mixed = rectified_policy(TIE, 0.5, 0.0)
    settled, best = improved_policy(WRONG, 0.0, 0.5), rectified_policy(WRONG, 0.0, 0.5)
    cases = (
        ("the best deterministic policy", TIE, choices, 0.5, 0.0),
        ("the best of all policies", TIE, mixed, 0.5, 0.0),
        ("descending equation (2)", WRONG, settled, 0.0, 0.5),
        ("maximising equation (7)", WRONG, best, 0.0, 0.5),
    )
    rows = []
    for name, problem, policy, alpha, tau in cases:
        found = sides(problem, policy, alpha, tau)
        worth = f"{objective(problem, policy, alpha, tau):.3f}"
        holds = "yes" if found.left >= found.right - 1e-9 else "no"
        rows.append((name, numbers(policy, 2), worth, f"{found.left:.3f}", f"{found.right:.3f}", holds))
    return table(("policy", "pi", "objective (7)", "left side", "right side", "holds"), rows)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def draw(path: Path) -> None:
    """Draws both sides of the example over tau, and the margin of the tie over alpha."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    taus = np.linspace(0, 0.9, 91)
    found = [sides(EXAMPLE, rectified_policy(EXAMPLE, ALPHA, tau), ALPHA, tau) for tau in taus]
    left.plot(taus, [each.left for each in found], color="#0072B2", label="left: J(π*) − J(β)")
    left.plot(taus, [each.right for each in found], color="#D55E00", linestyle="--", label="right: the bound")
    left.set(title="the example: the bound holds", xlabel="τ", ylabel="discounted return")
    alphas = np.linspace(0, 1, 51)
    for stochastic, color, line, label in (
        (True, "#0072B2", "-", "best of all policies"),
        (False, "#D55E00", "--", "best deterministic policy"),
    ):
        policies = [rectified_policy(TIE, alpha, 0.0, stochastic=stochastic) for alpha in alphas]
        margins = [sides(TIE, p, a, 0.0) for p, a in zip(policies, alphas, strict=True)]
        right.plot(alphas, [m.left - m.right for m in margins], color=color, linestyle=line, label=label)
    right.set(title="two equal actions: it needs policies that mix", xlabel="α", ylabel="left − right")
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    sys.stdout.write("\n\n".join((fixed_point(), inequality(), counterexamples())) + "\n")
    draw(Path(__file__).with_name("theory.png"))
