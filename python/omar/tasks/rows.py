"""The rows of the registry: what each task of the paper is made of, its references and its published figures.

Figures come from Pan et al. 2022, "Plan Better Amid Conservatism: Offline Multi-Agent Reinforcement Learning
with Actor Rectification".
"""

from __future__ import annotations

from dataclasses import replace

from .task import BestScore, Quality, References, Score, Task

BASELINES = ("icq", "td3bc", "cql", "omar")


def _scores(*figures: tuple[float, float | None]) -> dict[str, Score]:
    """Scores in the order of BASELINES."""
    return {name: Score(*figure) for name, figure in zip(BASELINES, figures, strict=True)}


SIMPLE_SPREAD = Task(
    name="simple_spread",
    title="Cooperative navigation",
    abbreviation="CN",
    environment="simple_spread",
    num_agents=3,
    num_learners=3,
    obs_sizes=(18, 18, 18),
    action_size=2,
    episode_length=25,
    references=References(random=159.8, expert=516.8, source="paper"),
    qualities={
        "random": Quality(
            transitions=1_000_000,
            returns=Score(159.6, 60.0),
            normalized=0.0,
            scores=_scores((6.3, 3.5), (9.8, 4.9), (24.0, 9.8), (34.4, 5.3)),
            best=BestScore(78.2, "SPaCQL"),
        ),
        "medium-replay": Quality(
            transitions=97_500,
            returns=Score(203.7, 80.0),
            normalized=12.0,
            scores=_scores((13.6, 5.7), (15.4, 5.6), (20.0, 8.4), (37.9, 12.3)),
            best=BestScore(71.9, "SPaCQL"),
        ),
        "medium": Quality(
            transitions=1_000_000,
            returns=Score(273.4, 92.0),
            normalized=32.0,
            scores=_scores((29.3, 5.5), (29.3, 4.8), (34.1, 7.2), (47.9, 18.9)),
            best=BestScore(96.0, "MoSDOT"),
        ),
        "expert": Quality(
            transitions=1_000_000,
            returns=Score(531.0, 71.0),
            normalized=104.0,
            scores=_scores((104.0, 3.4), (108.3, 3.3), (98.2, 5.2), (114.9, 2.6)),
            best=BestScore(136.4, "DoF"),
        ),
    },
)

SIMPLE_TAG = Task(
    name="simple_tag",
    title="Predator-prey",
    abbreviation="PP",
    environment="simple_tag",
    num_agents=4,
    num_learners=3,
    obs_sizes=(16, 16, 16, 14),
    action_size=2,
    episode_length=25,
    references=References(random=-4.1, expert=185.6, source="paper, with its authors' prey"),
    qualities={
        "random": Quality(
            transitions=1_000_000,
            returns=Score(-4.1, 11.0),
            normalized=0.0,
            scores=_scores((2.2, 2.6), (5.7, 3.5), (5.0, 8.2), (11.1, 2.8)),
            best=BestScore(89.4, "SPaCQL"),
        ),
        "medium-replay": Quality(
            transitions=62_500,
            returns=Score(3.9, 20.0),
            normalized=4.0,
            scores=_scores((34.5, 27.8), (28.7, 20.9), (24.8, 17.3), (47.1, 15.3)),
            best=BestScore(75.0, "SPaCQL"),
        ),
        "medium": Quality(
            transitions=1_000_000,
            returns=Score(116.4, 59.0),
            normalized=64.0,
            scores=_scores((63.3, 20.0), (65.1, 29.5), (61.7, 23.1), (66.7, 23.2)),
            best=BestScore(77.2, "MADiff-D"),
        ),
        "expert": Quality(
            transitions=1_000_000,
            returns=Score(207.9, 78.0),
            normalized=112.0,
            scores=_scores((113.0, 14.4), (115.2, 12.5), (93.9, 14.0), (116.2, 19.8)),
            best=BestScore(120.9, "MADiff-D"),
        ),
    },
)

SIMPLE_WORLD = Task(
    name="simple_world",
    title="World",
    abbreviation="W",
    environment="simple_world",
    num_agents=4,
    num_learners=3,
    obs_sizes=(24, 24, 24, 22),
    action_size=2,
    episode_length=25,
    references=References(random=-6.8, expert=79.5, source="paper, with its authors' prey"),
    qualities={
        "random": Quality(
            transitions=1_000_000,
            returns=Score(-6.8, 6.0),
            normalized=0.0,
            scores=_scores((1.0, 3.2), (2.8, 5.5), (0.6, 2.0), (5.9, 5.2)),
            best=BestScore(94.3, "SPaCQL"),
        ),
        "medium-replay": Quality(
            transitions=80_000,
            returns=Score(1.2, 13.0),
            normalized=9.0,
            scores=_scores((12.0, 9.1), (17.4, 8.1), (29.6, 13.8), (42.9, 19.5)),
            best=BestScore(105.2, "SPaCQL"),
        ),
        "medium": Quality(
            transitions=1_000_000,
            returns=Score(65.9, 30.0),
            normalized=84.0,
            scores=_scores((71.9, 20.0), (73.4, 9.3), (58.6, 11.2), (74.6, 11.5)),
            best=BestScore(123.5, "MADiff-D"),
        ),
        "expert": Quality(
            transitions=1_000_000,
            returns=Score(85.2, 31.0),
            normalized=107.0,
            scores=_scores((109.5, 22.8), (110.3, 21.3), (71.9, 28.1), (110.4, 25.7)),
            best=BestScore(122.6, "MADiff-D"),
        ),
    },
)

HALF_CHEETAH = Task(
    name="half_cheetah",
    title="Two-agent HalfCheetah",
    abbreviation="HC",
    environment="half_cheetah",
    num_agents=2,
    num_learners=2,
    obs_sizes=(6, 6),
    action_size=3,
    episode_length=1000,
    state_size=17,
    eval_every=2500,
    eval_episodes=50,
    references=References(random=-284.0, expert=3568.8, source="paper, with MuJoCo 2.0"),
    qualities={
        "random": Quality(
            transitions=1_000_000,
            returns=Score(-283.0, 78.0),
            normalized=0.0,
            scores=_scores((7.4, 0.0), (7.4, 0.0), (7.4, 0.0), (13.5, None)),
            best=BestScore(43.8, "SPaCQL"),
        ),
        "medium-replay": Quality(
            transitions=460_000,
            returns=Score(423.0, 656.0),
            normalized=18.0,
            scores=_scores((35.6, 2.7), (27.1, 5.5), (41.2, 10.1), (57.7, 5.1)),
            best=BestScore(66.1, "SPaCQL"),
        ),
        "medium": Quality(
            transitions=1_000_000,
            returns=Score(1569.0, 273.0),
            normalized=48.0,
            scores=_scores((73.6, 5.0), (75.5, 3.7), (50.4, 10.8), (80.7, 10.2)),
            best=BestScore(80.7, "OMAR"),
        ),
        "expert": Quality(
            transitions=1_000_000,
            returns=Score(3339.0, 253.0),
            normalized=94.0,
            scores=_scores((110.6, 3.3), (114.4, 3.8), (64.2, 24.9), (113.5, 4.3)),
            best=BestScore(114.4, "MA-TD3+BC"),
        ),
    },
)


def spread(agents: int, random: float, std: float) -> Task:
    """Cooperative navigation with another number of agents and targets, for which nothing was published.

    Args:
        agents: A, all of them learners.
        random: Mean return of uniform actions, measured over 40,000 episodes (standard error at most 0.35).
        std: Deviation of their returns.
    """
    above = "uniform actions of this many agents; a score is the return above theirs"
    return replace(
        SIMPLE_SPREAD,
        name=f"simple_spread_{agents}",
        title=f"Cooperative navigation, {agents} agents",
        abbreviation=f"CN{agents}",
        num_agents=agents,
        num_learners=agents,
        obs_sizes=(6 * agents,) * agents,
        references=References(random=random, expert=random + 100.0, source=above),
        qualities={
            "random": Quality(
                transitions=1_000_000, returns=Score(random, std), normalized=0.0, scores={}, best=None
            )
        },
    )
