"""At every instruction level of this CPU the oracles hold; worlds, rollouts and minibatches are the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import omar
from omar import _core
from omar.behaviors import load
from omar.envs import ParticleEnv
from omar.envs.rollout import rollout
from omar.nets.batch_norm import moments
from particle_cases import SCENARIOS, STARTS, put, start_state

HERE = Path(__file__).parent
LEVELS = ["base", "avx2", "avx512", "bf16", "amx"]
WORLDS = 67  # whole groups of every vector width, and a part of one


def need(level: str) -> None:
    if level not in _core.available_cpu_levels():
        pytest.skip(f"this CPU has no {level}")


def at_level(level: str, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMAR_CPU_LEVEL": level}
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(
        [sys.executable, *command],
        env=environment,
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )


def stepped() -> dict[str, torch.Tensor]:
    """Everything that 26 steps of each scenario give from each start, over the end of an episode."""
    found = {}
    for name in SCENARIOS:
        for dtype in (torch.float32, torch.float64):
            for kind in STARTS:
                env = ParticleEnv(name, WORLDS, seed=5, dtype=dtype)
                put(env, start_state(env, kind, 3))
                generator = torch.Generator().manual_seed(1)
                for t in range(26):
                    shape = (WORLDS, env.num_agents, 2)
                    step = env.step(torch.rand(shape, dtype=dtype, generator=generator) * 2 - 1)
                    if t in (0, 23, 25):
                        found[f"{name} {dtype} {kind} observations {t}"] = step.observations
                        found[f"{name} {dtype} {kind} rewards {t}"] = step.rewards
    return found


def sampled() -> dict[str, torch.Tensor]:
    """Minibatches from float32 and bfloat16 rows."""
    found = {}
    for storage in (torch.float32, torch.bfloat16):
        buffer = omar.ReplayBuffer(900, {"x": (3, 18), "y": (3,)}, datasets=2, storage=storage)
        generator = torch.Generator().manual_seed(2)
        for dataset in range(2):
            columns = {
                "x": torch.rand(900, 3, 18, generator=generator),
                "y": torch.rand(900, 3, generator=generator),
            }
            buffer.extend(columns, dataset)
        for name, column in buffer.sample(301, members=6, seed=7, step=11, agents=3).items():
            found[f"{storage} {name}"] = column
    return found


def rolled() -> dict[str, torch.Tensor]:
    """Two episodes of the shipped policies, with noise: what a data set is made of."""
    found = {}
    for name in SCENARIOS:
        policy = load(name, "expert")
        env = ParticleEnv(name, WORLDS, seed=2)
        out = rollout(env, 50, policy=policy, prey=policy.prey, noise=0.1, seed=9)
        found[f"{name} observations"] = out.next_observations
        found[f"{name} actions"], found[f"{name} rewards"] = out.actions, out.rewards
    return found


def summed() -> dict[str, torch.Tensor]:
    """Moments of narrow and wide rows."""
    generator = torch.Generator().manual_seed(3)
    found = {}
    for dtype in (torch.float32, torch.float64):
        for columns in (2, 18, 300):
            mean, variance = moments(torch.randn(2, 301, columns, generator=generator, dtype=dtype))
            found |= {f"{columns} {dtype} mean": mean, f"{columns} {dtype} variance": variance}
    return found


def everything() -> dict[str, torch.Tensor]:
    return {k: v.clone().contiguous() for k, v in (stepped() | sampled() | rolled() | summed()).items()}


@pytest.mark.parametrize("level", LEVELS)
def test_levels_agree(level: str, tmp_path: Path) -> None:
    """Worlds, policies, minibatches and moments are the same at each level, to the last bit."""
    need(level)
    run = at_level(level, __file__, str(tmp_path / "there.safetensors"))
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == level
    there, here = load_file(tmp_path / "there.safetensors"), everything()
    assert there.keys() == here.keys()
    for name, tensor in here.items():
        assert torch.equal(there[name], tensor), name


@pytest.mark.parametrize("level", LEVELS)
def test_the_oracles_hold(level: str) -> None:
    need(level)
    tests = [f"{HERE / 'test_batch_norm.py'}::test_the_search_normalises_every_round"]
    if level not in ("bf16", "amx"):  # they step worlds with avx512's kernels
        tests += [str(HERE / f"test_{name}.py") for name in ("particle_oracle", "particle_rollout")]
    run = at_level(level, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert run.returncode == 0, run.stdout[-2000:]


if __name__ == "__main__":
    save_file(everything(), sys.argv[1])
    sys.stdout.write(_core.cpu_level() + "\n")
