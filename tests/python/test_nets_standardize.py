"""Standardised inputs: the networks' outputs stay functions of raw inputs."""

import pytest
import torch

from omar.nets import StackedMlp, candidate_values, cql_penalty

M, B, K, O, A = 2, 5, 3, 4, 2


def stack(seed: int = 0) -> StackedMlp:
    return StackedMlp(2 * M, (O + A, 8, 8, 1), seed=seed, dtype=torch.float64)


def statistics() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    mean = torch.randn(2 * M, O + A, generator=generator, dtype=torch.float64)
    return mean, torch.rand(2 * M, O + A, generator=generator, dtype=torch.float64) + 0.5


def test_outputs_are_those_of_standardised_inputs() -> None:
    plain, standardised = stack(), stack()
    mean, std = statistics()
    standardised.standardize(mean, std)
    x = torch.randn(2 * M, B, O + A, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(standardised(x), plain((x - mean[:, None]) / std[:, None]))
    assert not torch.allclose(standardised(x), plain(x))


def test_candidates_are_standardised_too() -> None:
    critic = stack()
    mean, std = statistics()
    mean[M:], std[M:] = mean[:M], std[:M]  # both twins of a member see the same data
    critic.standardize(mean, std)
    generator = torch.Generator().manual_seed(3)
    obs = torch.randn(M, B, O, generator=generator, dtype=torch.float64)
    actions = torch.rand(M, B, K, A, generator=generator, dtype=torch.float64) * 2 - 1
    values = candidate_values(critic, obs, actions)
    x = torch.cat([obs[:, :, None].expand(M, B, K, O), actions], dim=-1).view(M, B * K, O + A)
    expected = stack()((x.repeat(2, 1, 1) - mean[:, None]) / std[:, None]).view(2, M, B, K)
    torch.testing.assert_close(values, expected)


def test_gradients_reach_the_weights() -> None:
    critic = stack()
    critic.standardize(*statistics())
    obs = torch.randn(M, B, O, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    data = candidate_values(critic, obs, torch.zeros(M, B, 1, A, dtype=torch.float64)).squeeze(-1)
    cql_penalty(critic, obs, data, seed=0, step=0).sum().backward()
    first = critic.weights[0].grad
    assert first is not None
    before = cql_value(critic, obs)
    with torch.no_grad():
        critic.weights[0] -= 1e-4 * first / first.norm()
    assert before - cql_value(critic, obs) == pytest.approx(1e-4 * float(first.norm()), rel=0.05)


def cql_value(critic: StackedMlp, obs: torch.Tensor) -> float:
    with torch.no_grad():
        data = candidate_values(critic, obs, torch.zeros(M, B, 1, A, dtype=torch.float64)).squeeze(-1)
        return float(cql_penalty(critic, obs, data, seed=0, step=0).sum())


def test_messages() -> None:
    critic = stack()
    mean, std = statistics()
    with pytest.raises(ValueError, match=r"`mean` must be \[M, in\] = \[4, 6\], got \[2, 6\]"):
        critic.standardize(mean[:2], std)
    with pytest.raises(ValueError, match="`std` must be greater than 0 everywhere"):
        critic.standardize(mean, std * 0)
