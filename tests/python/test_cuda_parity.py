"""The particle worlds on a GPU and on the CPU, from the same state with the same actions."""

from __future__ import annotations

import pytest
import torch

from omar.envs import ParticleEnv
from particle_cases import SCENARIOS, STARTS, put, start_state


def cuda_env(name: str, dtype: torch.dtype) -> ParticleEnv:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    try:
        return ParticleEnv(name, 67, seed=5, dtype=dtype, device="cuda")
    except ValueError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SCENARIOS)
def test_cuda_starts_where_the_cpu_starts(name: str, dtype: torch.dtype) -> None:
    gpu, cpu = cuda_env(name, dtype), ParticleEnv(name, 67, seed=5, dtype=dtype)
    for _ in range(2):
        torch.testing.assert_close(gpu.reset().cpu(), cpu.reset(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
@pytest.mark.parametrize("name", SCENARIOS)
def test_cuda_steps_like_the_cpu(name: str, kind: str, dtype: torch.dtype, tolerance: float) -> None:
    gpu, cpu = cuda_env(name, dtype), ParticleEnv(name, 67, seed=5, dtype=dtype)
    g = torch.Generator().manual_seed(1)
    start = start_state(cpu, kind, 3)
    for _ in range(3):
        put(cpu, start, torch.arange(67) % 25)
        state = cpu.state()
        gpu.set_state(*(x.to("cuda") for x in state))
        actions = torch.rand(67, cpu.num_agents, 2, dtype=dtype, generator=g) * 2 - 1
        ours, theirs = cpu.step(actions), gpu.step(actions.to("cuda"))
        assert torch.equal(ours.truncated, theirs.truncated.cpu())
        ends = ours.truncated
        torch.testing.assert_close(theirs.observations.cpu(), ours.observations, atol=tolerance, rtol=1e-5)
        torch.testing.assert_close(theirs.rewards.cpu(), ours.rewards, atol=tolerance, rtol=1e-5)
        torch.testing.assert_close(
            theirs.final_observations.cpu()[ends], ours.final_observations[ends], atol=tolerance, rtol=1e-5
        )
        start = tuple(x.double().numpy() for x in cpu.state()[:3])
