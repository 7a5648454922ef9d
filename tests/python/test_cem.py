"""The search: numpy oracles for each step, properties, the whole search on known functions, errors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omar import cem
from omar.cem import CemOptions
from omar.nets import StackedMlp, candidate_values
from oracles import philox

STREAM = 16
SOFTMAX = CemOptions(beta=0.7)
ELITE = CemOptions(refit="elite", rounds=2, samples=20, elites=5)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def scored(members=2, batch=5, samples=20, actions=3, seed=0):
    rng = np.random.default_rng(seed)
    a = np.clip(2.0 * rng.normal(size=(members, batch, samples, actions)), -1.0, 1.0)
    q = 3.0 * rng.normal(size=(members, batch, samples))
    return torch.from_numpy(a), torch.from_numpy(q)


def spread(a):
    return torch.zeros_like(a[:, :, 0]) + 0.25, torch.full_like(a[:, :, 0], 1.5)


# ---- sampling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 2, 10, 21])
def test_sample_is_philox_and_box_muller(samples):
    mu, sigma = normal(3, 70, 2, seed=1), normal(3, 70, 2, seed=2).abs() * 0.2
    got = cem.sample(mu, sigma, samples, seed=2**40 + 7, step=11, round=2)
    z = philox.normals(2**40 + 7, STREAM + 2, 11, (3, 70, samples, 2))
    wanted = np.clip(mu.numpy()[:, :, None] + sigma.numpy()[:, :, None] * z, -1.0, 1.0)
    np.testing.assert_allclose(got.numpy(), wanted, atol=2e-6)


def test_sample_moments():
    got = cem.sample(torch.zeros(2, 4096, 3), torch.full((2, 4096, 3), 0.1), 40, seed=5, step=0)
    z = got.double() / 0.1
    n = z.numel()
    assert abs(z.mean()) < 5 / n**0.5
    assert abs((z**2).mean() - 1) < 5 * (2 / n) ** 0.5
    assert abs((z**4).mean() - 3) < 5 * (96 / n) ** 0.5
    flat = z.movedim(3, 0).reshape(3, -1)
    assert torch.corrcoef(flat).triu(1).abs().max() < 0.01
    neighbours = torch.corrcoef(z.movedim(2, 0).reshape(40, -1)).triu(1).abs().max()
    assert neighbours < 0.04


def test_sample_clamps():
    got = cem.sample(torch.zeros(1, 100, 2), torch.full((1, 100, 2), 2.0), 10, seed=0, step=0)
    assert got.abs().max() == 1.0
    assert 0.5 < (got.abs() == 1.0).double().mean() < 0.7  # P(|z| > 1/2) = 0.617


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 80), st.integers(1, 30), st.integers(1, 4), st.integers(0, 2**64 - 1)
)
def test_sample_does_not_depend_on_the_batch_around(members, batch, samples, actions, seed):
    mu, sigma = torch.zeros(5, 90, 4), torch.full((5, 90, 4), 0.3)
    full = cem.sample(mu, sigma, 32, seed=seed, step=3)
    part = cem.sample(
        mu[:members, :batch, :actions], sigma[:members, :batch, :actions], samples, seed=seed, step=3
    )
    assert torch.equal(part, full[:members, :batch, :samples, :actions])


def test_sample_changes_with_seed_step_and_round():
    mu, sigma = torch.zeros(1, 4, 2), torch.ones(1, 4, 2)
    draws = [
        cem.sample(mu, sigma, 10, seed=seed, step=step, round=r)
        for seed in (0, 1)
        for step in (0, 1)
        for r in (0, 1)
    ]
    assert all(not torch.equal(draws[i], draws[j]) for i in range(8) for j in range(i))
    assert torch.equal(draws[0], cem.sample(mu, sigma, 10, seed=0, step=0, round=0))


# ---- refit ---------------------------------------------------------------------------------------


def refit_oracle(mu, sigma, actions, q, options):
    mu, sigma = mu.numpy().copy(), sigma.numpy().copy()
    for m, b in np.ndindex(q.shape[:2]):
        keep = np.isfinite(q[m, b].numpy())
        a, s = actions[m, b].numpy()[keep], q[m, b].numpy()[keep]
        if options.refit == "softmax" and len(s) > 0:
            w = np.exp(options.beta * (s - s.max()))
            mu[m, b] = (w / w.sum()) @ a
            sigma[m, b] = np.sqrt(np.mean((a - mu[m, b]) ** 2, axis=0))
        if options.refit == "elite" and len(s) > 0:
            top = a[np.argsort(-s, kind="stable")[: options.elites]]
            mu[m, b] = top.mean(axis=0)
            if len(top) > 1:
                sigma[m, b] = top.std(axis=0, ddof=1)
    return mu, sigma


@pytest.mark.parametrize("options", [SOFTMAX, ELITE], ids=["softmax", "elite"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_refit_matches_oracle(options, dtype):
    a, q = scored()
    q[0, 0] = float("nan")  # nothing is known: the distribution stays
    q[0, 1, 1:] = float("inf")  # a single score
    q[0, 2, ::2] = -float("inf")
    q[1, 0, 3:] = float("nan")
    a, q = a.to(dtype), q.to(dtype)
    mu, sigma = spread(a)
    got = cem.refit(mu, sigma, a, q, options)
    wanted = refit_oracle(mu, sigma, a, q, options)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-6
    np.testing.assert_allclose(got[0].numpy(), wanted[0], atol=tolerance)
    np.testing.assert_allclose(got[1].numpy(), wanted[1], atol=tolerance)
    assert got[0].dtype == got[1].dtype == dtype


@pytest.mark.parametrize("options", [SOFTMAX, ELITE], ids=["softmax", "elite"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_refit_follows_a_permutation_of_states(options, seed):
    a, q = scored(seed=seed)
    mu, sigma = spread(a)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(5))
    straight = cem.refit(mu, sigma, a, q, options)
    permuted = cem.refit(mu[:, order], sigma[:, order], a[:, order], q[:, order], options)
    assert torch.equal(straight[0][:, order], permuted[0])
    assert torch.equal(straight[1][:, order], permuted[1])


@pytest.mark.parametrize("options", [SOFTMAX, CemOptions(beta=8.0), CemOptions(beta=0.0), ELITE], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_refit_of_huge_scores_is_finite(options, dtype):
    """Not the scores times beta, nor their differences, need be finite."""
    a, q = scored()
    q = (q / q.abs().max() * torch.finfo(dtype).max).to(dtype)
    assert torch.isfinite(q).all()
    mu, sigma = cem.refit(*spread(a.to(dtype)), a.to(dtype), q, options)
    assert torch.isfinite(mu).all()
    assert torch.isfinite(sigma).all()
    few = torch.tensor([1e38, 2e38, 1e38], dtype=dtype).expand(1, 1, 3)
    actions = torch.tensor([[-1.0], [0.5], [1.0]], dtype=dtype).view(1, 1, 3, 1)
    options = replace(options, samples=3, elites=2, beta=8.0)
    mu, sigma = cem.refit(*spread(actions), actions, few, options)
    assert mu.item() == pytest.approx(0.5 if options.refit == "softmax" else -0.25)
    assert torch.isfinite(sigma).all()


def test_elites_are_the_best_candidates():
    a, q = scored()
    q[0, 0, 4] = float("nan")
    q[0, 1, 0] = float("inf")
    actions, values = cem.elites(a, q, 5)
    for m, b in np.ndindex(q.shape[:2]):
        s = np.where(np.isfinite(q.numpy()[m, b]), q.numpy()[m, b], -np.inf)
        top = np.argsort(-s, kind="stable")[:5].copy()
        assert torch.equal(actions[m, b], a[m, b, top])
        assert torch.equal(values[m, b], q[m, b, top])


def test_best_skips_nan_and_infinity_and_takes_the_first_of_equals():
    a, q = scored(members=1, batch=4, samples=6)
    q[0, 0, 2] = float("nan")
    q[0, 1, 0] = float("inf")
    q[0, 2, :] = 1.0
    q[0, 3, :] = float("nan")
    actions, values = cem.best(a, q)
    for b in range(4):
        s = np.where(np.isfinite(q.numpy()[0, b]), q.numpy()[0, b], -np.inf)
        i = int(s.argmax())
        assert torch.equal(actions[0, b], a[0, b, i])
        assert torch.equal(values[0, b], q[0, b, i]) or b == 3
    assert torch.equal(actions[0, 2], a[0, 2, 0])


# ---- the whole search ----------------------------------------------------------------------------


def maximize_oracle(score, policy, options, seed, step):
    mu, sigma = np.full(policy.shape, options.mu), np.full(policy.shape, options.sigma)
    pool_a, pool_q = None, None
    for r in range(options.rounds):
        shape = (*policy.shape[:2], options.samples, policy.shape[2])
        z = philox.normals(seed, STREAM + r, step, shape)
        a = np.clip(mu[:, :, None] + sigma[:, :, None] * z, -1.0, 1.0)
        q = score(a)
        if options.refit == "elite" and r > 0:
            top = np.argsort(-pool_q, axis=-1, kind="stable")[..., : options.elites]
            a = np.concatenate([a, np.take_along_axis(pool_a, top[..., None], 2)], axis=2)
            q = np.concatenate([q, np.take_along_axis(pool_q, top, 2)], axis=2)
        pool_a, pool_q = a, q
        mu, sigma = refit_oracle(*map(torch.from_numpy, (mu, sigma, a, q)), options)
    i = pool_q.argmax(-1)[..., None]
    best_q, best_a = (
        np.take_along_axis(pool_q, i, 2)[..., 0],
        np.take_along_axis(pool_a, i[..., None], 2)[:, :, 0],
    )
    policy_q = score(policy[:, :, None])[..., 0]
    wins = best_q > policy_q
    return np.where(wins[..., None], best_a, policy), np.where(wins, best_q, policy_q)


@pytest.mark.parametrize("options", [SOFTMAX, ELITE], ids=["softmax", "elite"])
def test_maximize_matches_oracle(options):
    goal = normal(2, 30, 3, seed=3).clamp(-1.5, 1.5)
    policy = normal(2, 30, 3, seed=4).clamp(-1, 1)
    score = lambda a: -((a - goal.numpy()[:, :, None]) ** 2).sum(-1)  # noqa: E731
    got = cem.maximize(
        lambda _, a: -((a - goal[:, :, None]) ** 2).sum(-1),
        torch.empty(2, 30, 0),
        policy,
        options,
        seed=9,
        step=4,
    )
    wanted = maximize_oracle(score, policy.numpy(), options, 9, 4)
    np.testing.assert_allclose(got[0].numpy(), wanted[0], atol=1e-5)
    np.testing.assert_allclose(got[1].numpy(), wanted[1], atol=1e-5)


@pytest.mark.parametrize(
    "options", [CemOptions(10, 200, beta=100.0), CemOptions(10, 200, "elite", elites=20)]
)
def test_maximize_finds_the_optimum_of_a_concave_score(options):
    goal = normal(2, 30, 2, seed=5).clamp(-1.0, 1.0)
    actions, values = cem.maximize(
        lambda _, a: -((a - goal[:, :, None]) ** 2).sum(-1),
        goal,
        torch.zeros_like(goal),
        options,
        seed=0,
        step=0,
    )
    assert (actions - goal).abs().max() < 0.1
    assert values.min() > -0.01


@pytest.mark.parametrize("options", [SOFTMAX, ELITE], ids=["softmax", "elite"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 100))
def test_maximize_is_never_below_the_policy(options, seed):
    critic = StackedMlp(4, (5 + 2, 16, 16, 1), seed=seed)
    obs, policy = (
        normal(2, 9, 5, seed=seed, dtype=torch.float32),
        torch.tanh(normal(2, 9, 2, dtype=torch.float32)),
    )
    actions, values = cem.maximize(critic, obs, policy, options, seed=seed, step=1)
    first = lambda a: critic(torch.cat([obs, a], -1).repeat(2, 1, 1))[:2, :, 0]  # noqa: E731
    assert (values >= first(policy) - 1e-6).all()
    torch.testing.assert_close(values, first(actions))
    assert not values.requires_grad
    assert actions.abs().max() <= 1.0


def test_maximize_splits_over_members():
    critic = StackedMlp(3, (5 + 2, 16, 16, 1), seed=1, dtype=torch.float64)
    obs, policy = normal(3, 9, 5), torch.tanh(normal(3, 9, 2))
    actions, _ = cem.maximize(critic, obs, policy, SOFTMAX, seed=3, step=1)
    alone = StackedMlp(1, (5 + 2, 16, 16, 1), seed=1, dtype=torch.float64)
    first, _ = cem.maximize(alone, obs[:1], policy[:1], SOFTMAX, seed=3, step=1)
    torch.testing.assert_close(first, actions[:1], rtol=0, atol=1e-12)
    some, _ = cem.maximize(critic, obs[:, :4], policy[:, :4], SOFTMAX, seed=3, step=1)
    torch.testing.assert_close(some, actions[:, :4], rtol=0, atol=1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("options", [SOFTMAX, ELITE], ids=["softmax", "elite"])
def test_bad_scores_never_win(options, bad):
    policy = torch.full((1, 50, 2), -0.5)

    def score(_, a):
        return torch.where(a[..., 0] > 0, bad, a.sum(-1))

    actions, values = cem.maximize(score, policy, policy, options, seed=0, step=0)
    assert (actions[..., 0] <= 0).all()
    assert torch.isfinite(values).all()
    actions, values = cem.maximize(lambda _, a: a.sum(-1) * bad, policy, policy, options, seed=0, step=0)
    assert torch.equal(actions, policy)


# ---- the fused search against the plain one --------------------------------------------------------

SEARCHES = [
    CemOptions(),
    CemOptions(refit="elite", rounds=2, samples=20, elites=5),
    CemOptions(refit="elite", rounds=4, samples=7, elites=7),
    CemOptions(rounds=1, samples=1),
    CemOptions(rounds=2, samples=150, beta=5.0, mu=0.3, sigma=0.7),
]


def search_case(dtype, sizes=(7, 30, 19, 1), batch=133, action_size=2):
    critic = StackedMlp(4, sizes, seed=3, dtype=dtype)
    obs = normal(2, batch, sizes[0] - action_size, dtype=dtype)
    return critic, obs, torch.tanh(normal(2, batch, action_size, seed=1, dtype=dtype))


@pytest.mark.parametrize("options", SEARCHES, ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_fused_search_is_plain(options, dtype, tolerance):
    arguments = search_case(dtype)
    fused, plain = (cem.maximize(*arguments, options, seed=7, step=3, kernels=p) for p in ("fused", "plain"))
    # Scores that differ in the last bit may pick another of nearly equal candidates: compare values.
    torch.testing.assert_close(fused[1], plain[1], rtol=0, atol=tolerance)
    same = (fused[0] - plain[0]).abs().amax(-1) < 100 * tolerance
    assert same.double().mean() > 0.99


@pytest.mark.parametrize("hidden", [(30,), (30, 19, 11)], ids=str)
@pytest.mark.parametrize("reduction", ["first", "min"])
def test_fused_search_of_other_depths(hidden, reduction):
    arguments = search_case(torch.float64, (7, *hidden, 1))
    options = CemOptions(reduction=reduction)
    fused, plain = (cem.maximize(*arguments, options, seed=7, step=3, kernels=p) for p in ("fused", "plain"))
    torch.testing.assert_close(fused[1], plain[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "sizes", [(20, 64, 64, 1), (9, 256, 256, 1), (20, 64, 1), (20, 64, 40, 72, 1), (9, 30, 19, 5, 33, 1)]
)
@pytest.mark.parametrize("batch", [133, 800])
def test_fused_search_of_the_papers_sizes_and_other_depths(sizes, batch):
    arguments = search_case(torch.float32, sizes, batch, action_size=2 if sizes[0] == 20 else 3)
    fused, plain = (cem.maximize(*arguments, SOFTMAX, seed=7, step=3, kernels=p) for p in ("fused", "plain"))
    torch.testing.assert_close(fused[1], plain[1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("options", SEARCHES[:2], ids=str)
def test_fused_search_does_not_depend_on_threads_or_batch(options):
    # 2 x 800 states are searched in pieces of 120, 2 x 50 in pieces of 30.
    critic, obs, policy = search_case(torch.float32, batch=800)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = cem.maximize(critic, obs, policy, options, seed=7, step=3, kernels="fused")
        torch.set_num_threads(2)
        two = cem.maximize(critic, obs, policy, options, seed=7, step=3, kernels="fused")
    finally:
        torch.set_num_threads(threads)
    part = cem.maximize(critic, obs[:, :50], policy[:, :50], options, seed=7, step=3, kernels="fused")
    for a, b, c in zip(one, two, part, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a[:, :50], c)


@pytest.mark.parametrize("options", SEARCHES[:2], ids=str)
@pytest.mark.parametrize("kernels", ["fused", "plain"])
def test_states_with_nan_scores_keep_the_policy(options, kernels):
    critic, obs, policy = search_case(torch.float32)
    obs[0, 5] = float("nan")
    actions, values = cem.maximize(critic, obs, policy, options, seed=7, step=3, kernels=kernels)
    assert torch.equal(actions[0, 5], policy[0, 5])
    assert values.isnan().sum() == 1
    clean, _ = cem.maximize(critic, obs.nan_to_num(), policy, options, seed=7, step=3, kernels=kernels)
    other = torch.ones(2, 133, dtype=torch.bool)
    other[0, 5] = False
    assert torch.equal(actions[other], clean[other])


def ramp_critic(slope, other=0.0, threshold=0.0, sign=1.0):
    """Scores slope * max(a_0 - threshold, 0) + other * max(sign * a_0 - threshold, 0)."""
    critic = StackedMlp(1, (3, 2, 2, 1))
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.zero_()
        critic.weights[0][0, 1] = torch.tensor([1.0, sign])
        critic.biases[0][:] = -threshold
        critic.weights[1][0] = torch.eye(2)
        critic.weights[2][0, :, 0] = torch.tensor([slope, other])
    return critic


EXTREMES = {
    "near the largest number": ramp_critic(3e38),
    "differences that overflow": ramp_critic(3.4e38, -3.4e38, sign=-1.0),
    "some infinite": ramp_critic(3e38, 3e38, threshold=-0.3),
    "some minus infinite": ramp_critic(-3e38, -3e38, threshold=-0.3),
    "some NaN": ramp_critic(float("inf"), 0.0, threshold=0.2),  # inf * 0 below the threshold, inf above
    "all NaN": ramp_critic(float("nan")),
    "all equal": ramp_critic(0.0),
}


@pytest.mark.parametrize(
    "options",
    [
        CemOptions(beta=8.0),
        CemOptions(beta=0.0),
        CemOptions(beta=3e38),
        CemOptions(samples=1),
        CemOptions(refit="elite", rounds=3, samples=12, elites=5),
        CemOptions(refit="elite", rounds=2, samples=2, elites=2),
    ],
    ids=str,
)
@pytest.mark.parametrize("critic", EXTREMES.values(), ids=EXTREMES.keys())
def test_both_searches_bear_extreme_scores(critic, options):
    obs, policy = torch.zeros(1, 50, 1), torch.full((1, 50, 2), -0.75)
    fused, plain = (
        cem.maximize(critic, obs, policy, options, seed=7, step=3, kernels=p) for p in ("fused", "plain")
    )
    assert torch.isfinite(fused[0]).all()
    torch.testing.assert_close(fused[0], plain[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(fused[1], plain[1], rtol=1e-5, atol=0, equal_nan=True)


@pytest.mark.parametrize("options", SEARCHES[:3], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "min"])
@pytest.mark.parametrize("kernels", ["fused", "plain"])
def test_an_ensemble_scores_by_its_reduction(kernels, reduction, options):
    members, ensemble = 2, 3
    critic = StackedMlp(ensemble * members, (7, 30, 19, 1), seed=3, dtype=torch.float64)
    obs, policy = normal(members, 133, 5), torch.tanh(normal(members, 133, 2, seed=1))

    def score(obs, actions):
        q = candidate_values(critic, obs, actions)
        return q.mean(0) if reduction == "mean" else q.amin(0)

    options = replace(options, reduction=reduction)
    got = cem.maximize(critic, obs, policy, options, seed=7, step=3, kernels=kernels)
    wanted = cem.maximize(score, obs, policy, replace(options, reduction="first"), seed=7, step=3)
    torch.testing.assert_close(got[1], wanted[1], rtol=0, atol=1e-9)
    torch.testing.assert_close(got[0], wanted[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(score(obs, got[0][:, :, None])[..., 0], got[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("reduction", ["mean", "min"])
@pytest.mark.parametrize("kernels", ["fused", "plain"])
@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_critic_that_gives_nan_loses_for_the_whole_ensemble(kernels, reduction, broken):
    critic = StackedMlp(3, (7, 8, 8, 1), seed=3)
    with torch.no_grad():
        critic.biases[2][broken] = float("nan")
    obs, policy = torch.zeros(1, 9, 5), torch.full((1, 9, 2), 0.25)
    options = CemOptions(reduction=reduction)
    actions, values = cem.maximize(critic, obs, policy, options, seed=0, step=0, kernels=kernels)
    assert torch.equal(actions, policy)
    assert values.isnan().all()


def test_a_mean_of_finite_scores_is_finite():
    critic = StackedMlp(2, (3, 4, 4, 1))
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.zero_()
        critic.biases[2].fill_(3e38)
    obs, policy = torch.zeros(1, 9, 1), torch.zeros(1, 9, 2)
    for kernels in ("fused", "plain"):
        _, values = cem.maximize(
            critic, obs, policy, CemOptions(reduction="mean"), seed=0, step=0, kernels=kernels
        )
        torch.testing.assert_close(values, torch.full((1, 9), 3e38))


@pytest.mark.parametrize("kernels", ["fused", "plain"])
def test_bf16_search_is_near(kernels):
    arguments = search_case(torch.float32)
    exact = cem.maximize(*arguments, CemOptions(), seed=7, step=3)[1]
    rough = cem.maximize(*arguments, CemOptions(precision="bf16"), seed=7, step=3, kernels=kernels)[1]
    assert 0 < (rough - exact).abs().max() < 0.02


def test_fused_search_that_cannot_run():
    critic = StackedMlp(2, (7, 1))
    with pytest.raises(
        ValueError, match=r"\[cem::maximize\] the fused kernels cannot run: .* no hidden layer"
    ):
        cem.maximize(
            critic, torch.zeros(2, 9, 5), torch.zeros(2, 9, 2), SOFTMAX, seed=0, step=0, kernels="fused"
        )


# ---- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 0}, r"`rounds` must be in 1..48, got 0"),
        ({"rounds": 49}, r"`rounds` must be in 1..48, got 49"),
        ({"samples": 0}, r"`samples` must be in 1..1024, got 0"),
        ({"refit": "median"}, r"`refit` must be 'softmax' or 'elite', got 'median'"),
        ({"refit": "elite", "elites": 1}, r"`elites` must be in 2..samples = 2..10, got 1"),
        ({"refit": "elite", "elites": 11}, r"`elites` must be in 2..samples = 2..10, got 11"),
        ({"mu": float("nan")}, r"`mu` must be finite"),
        ({"sigma": 0.0}, r"`sigma` must be positive and finite in float32, got 0"),
        ({"sigma": 1e39}, r"`sigma` must be positive and finite in float32, got 1e\+39"),
        ({"mu": -1e39}, r"`mu` must be finite in float32, got -1e\+39"),
        ({"beta": -1.0}, r"`beta` must be finite in float32 and not negative, got -1"),
        ({"beta": 1e39}, r"`beta` must be finite in float32 and not negative, got 1e\+39"),
        ({"reduction": "max"}, r"`reduction` must be 'first', 'mean' or 'min', got 'max'"),
        ({"precision": "fp8"}, r"`precision` must be 'float32' or 'bf16', got 'fp8'"),
    ],
)
def test_options_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        CemOptions(**changes)


def test_wrong_shapes_and_types():
    a, q = scored()
    mu, sigma = spread(a)
    with pytest.raises(
        ValueError, match=r"\[cem::refit\] `q` must be \[M, B, K\] = \[2, 5, 20\], got \[2, 5\]"
    ):
        cem.refit(mu, sigma, a, q[..., 0], SOFTMAX)
    with pytest.raises(
        ValueError, match=r"\[cem::refit\] `mu` must be \[M, B, A\] = \[2, 5, 3\], got \[2, 5, 2\]"
    ):
        cem.refit(mu[..., :2], sigma[..., :2], a, q, SOFTMAX)
    with pytest.raises(
        ValueError, match=r"\[cem::refit\] `sigma` must be \[M, B, A\] = \[2, 5, 3\], got \[2, 1, 3\]"
    ):
        cem.refit(mu, sigma[:, :1], a, q, SOFTMAX)
    with pytest.raises(TypeError, match=r"\[cem::refit\] `q` must be Double, got Float"):
        cem.refit(mu, sigma, a, q.float(), SOFTMAX)
    with pytest.raises(
        ValueError, match=r"\[cem::best\] `actions` must be \[M, B, K, A\] = .*, got \[2, 5, 20\]"
    ):
        cem.best(q, q)
    with pytest.raises(ValueError, match=r"\[cem::elites\] `count` must be in 1..K = 1..20, got 21"):
        cem.elites(a, q, 21)
    with pytest.raises(ValueError, match=r"\[cem::sample\] `samples` must be at least 1, got 0"):
        cem.sample(mu, sigma, 0, seed=0, step=0)
    with pytest.raises(ValueError, match=r"K must be at most 1024, got 1025"):
        cem.sample(mu, sigma, 1025, seed=0, step=0)
    with pytest.raises(ValueError, match=r"`round` must be in 0..47, got 48"):
        cem.sample(mu, sigma, 10, seed=0, step=0, round=48)
    with pytest.raises(TypeError, match=r"\[cem::sample\] `mu` must be float32 or float64, got Long"):
        cem.sample(mu.long(), sigma, 10, seed=0, step=0)


def test_wrong_arguments_of_maximize():
    critic = StackedMlp(4, (5 + 2, 8, 1))
    obs, policy = torch.zeros(2, 9, 5), torch.zeros(2, 9, 2)

    def run(critic=critic, obs=obs, policy=policy, seed=0, step=0):
        return cem.maximize(critic, obs, policy, SOFTMAX, seed=seed, step=step)

    with pytest.raises(ValueError, match=r"\[cem::maximize\] `obs` must be \[M, B, O\] = .*, got \[9, 5\]"):
        run(obs=obs[0])
    with pytest.raises(
        ValueError, match=r"`policy_actions` must be \[M, B, A\] = \[2, 9, any\], got \[2, 8, 2\]"
    ):
        run(policy=policy[:, :8])
    with pytest.raises(ValueError, match=r"`critic` has 4 networks, which is no multiple of M = 3"):
        run(obs=torch.zeros(3, 9, 5), policy=torch.zeros(3, 9, 2))
    with pytest.raises(ValueError, match=r"`critic` takes 7 inputs, but O \+ A = 5 \+ 1"):
        run(policy=policy[..., :1])
    with pytest.raises(TypeError, match=r"`actions` must be Float, got Double"):
        run(policy=policy.double())
    with pytest.raises(ValueError, match=r"`seed` must be in 0..2\^64-1, got -1"):
        run(seed=-1)
    with pytest.raises(ValueError, match=r"`step` must be in 0..2\^32-1, got -1"):
        run(step=-1)
    with pytest.raises(
        ValueError, match=r"`scorer's result` must be \[M, B, K\] = \[2, 9, 10\], got \[2, 9\]"
    ):
        run(critic=lambda _, a: a[:, :, 0, 0])
    with pytest.raises(ZeroDivisionError):
        run(critic=lambda _, a: 1 // 0)


@pytest.mark.parametrize(("axis", "letter"), [(0, "M"), (1, "B"), (3, "A")])
def test_sizes_of_zero(axis, letter):
    sizes = [2, 5, 20, 3]
    sizes[axis] = 0
    a, q = torch.zeros(sizes), torch.zeros(sizes[:3])
    mu, sigma = spread(a)
    message = rf"{letter}. must be at least 1, got 0"
    for op, call in {
        "sample": lambda: cem.sample(mu, sigma, 10, seed=0, step=0),
        "refit": lambda: cem.refit(mu, sigma, a, q, SOFTMAX),
        "elites": lambda: cem.elites(a, q, 5),
        "best": lambda: cem.best(a, q),
        "maximize": lambda: cem.maximize(lambda _, x: x.sum(-1), mu, mu, SOFTMAX, seed=0, step=0),
    }.items():
        with pytest.raises(ValueError, match=rf"\[cem::{op}\] .{message}"):
            call()


def test_pools_without_candidates():
    a, q = torch.zeros(2, 5, 0, 3), torch.zeros(2, 5, 0)
    mu = sigma = torch.ones(2, 5, 3)
    for op, call in {
        "refit": lambda: cem.refit(mu, sigma, a, q, SOFTMAX),
        "elites": lambda: cem.elites(a, q, 1),
        "best": lambda: cem.best(a, q),
    }.items():
        with pytest.raises(ValueError, match=rf"\[cem::{op}\] `K` must be at least 1, got 0"):
            call()


@pytest.mark.parametrize("sizes", [(2**20, 2**24, 2**9), (2**30, 2**24, 2**8), (2**38, 2**24, 1)])
def test_sizes_whose_product_overflows(sizes):
    huge = torch.zeros(1, 1, 1).expand(sizes)
    with pytest.raises(ValueError, match=r"\[cem::sample\] the bytes of the numbers are more than a machine"):
        cem.sample(huge, huge, 1024, seed=0, step=0)
    with pytest.raises(
        ValueError, match=r"\[cem::maximize\] the bytes of the numbers are more than a machine"
    ):
        cem.maximize(lambda _, a: a.sum(-1), huge, huge, CemOptions(samples=1024), seed=0, step=0)


def test_members_that_differ():
    a, q = scored()
    mu, sigma = spread(a)
    with pytest.raises(
        ValueError, match=r"\[cem::refit\] `mu` must be \[M, B, A\] = \[2, 5, 3\], got \[1, 5, 3\]"
    ):
        cem.refit(mu[:1], sigma[:1], a, q, SOFTMAX)
    for op, call in {
        "refit": lambda: cem.refit(mu, sigma, a, q[:1], SOFTMAX),
        "elites": lambda: cem.elites(a, q[:1], 3),
        "best": lambda: cem.best(a, q[:1]),
    }.items():
        with pytest.raises(
            ValueError, match=rf"\[cem::{op}\] `q` must be .* = \[2, 5, 20\], got \[1, 5, 20\]"
        ):
            call()
    with pytest.raises(
        ValueError, match=r"\[cem::sample\] `sigma` must be .* = \[2, 5, 3\], got \[1, 5, 3\]"
    ):
        cem.sample(mu, sigma[:1], 3, seed=0, step=0)


def test_a_step_out_of_range():
    mu = torch.zeros(1, 2, 1)
    critic = StackedMlp(1, (2, 4, 4, 1))
    for number in (-1, 2**32):
        for step in (number, torch.tensor(number)):
            with pytest.raises(ValueError, match=rf"`step` must be in 0..2\^32-1, got {number}"):
                cem.sample(mu, mu + 1, 3, seed=0, step=step)
            for kernels in ("fused", "plain"):
                with pytest.raises(ValueError, match=rf"`step` must be in 0..2\^32-1, got {number}"):
                    cem.maximize(critic, mu, mu, SOFTMAX, seed=0, step=step, kernels=kernels)


def test_options_that_belong_to_a_stacked_critic():
    mu = torch.zeros(1, 2, 1)

    def run(kernels="auto", **changes):
        return cem.maximize(
            lambda _, a: a.sum(-1), mu, mu, CemOptions(**changes), seed=0, step=0, kernels=kernels
        )

    with pytest.raises(ValueError, match=r"\[cem::maximize\] `precision` is that of a StackedMlp critic"):
        run(precision="bf16")
    with pytest.raises(ValueError, match=r"\[cem::maximize\] `reduction` is that of a StackedMlp critic"):
        run(reduction="min")
    with pytest.raises(ValueError, match=r"\[cem.maximize\] the fused kernels take a StackedMlp critic"):
        run(kernels="fused")
