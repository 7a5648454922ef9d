"""The kernels on a GPU and on the CPU, with the same inputs."""

from __future__ import annotations

import pytest
import torch

import omar
from omar import _core, cem
from omar.algorithms import Agents, Algorithm, Backbone, Batch, get_algorithm, update
from omar.envs import ParticleEnv
from omar.nets import StackedMlp, Step, candidate_values, normal_candidates, uniform_candidates
from omar.random import Draw, normal_like, uniform_actions
from particle_cases import SCENARIOS, STARTS, put, start_state


def need_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")


def cuda_env(name: str, dtype: torch.dtype) -> ParticleEnv:
    need_gpu()
    try:
        return ParticleEnv(name, 67, seed=5, dtype=dtype, device="cuda")
    except ValueError as error:
        if "this build of omar has no CUDA kernels" not in str(error):
            raise
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


@pytest.mark.parametrize("agents", [None, 3])
@pytest.mark.parametrize("storage", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fields", [3, 20])  # one launch and two
def test_cuda_samples_the_rows_of_the_cpu(fields: int, storage: torch.dtype, agents: int | None) -> None:
    need_gpu()
    shapes = {f"field {i}": (3, 1 + 5 * i) for i in range(fields)}
    gpu, cpu = (
        omar.ReplayBuffer(700, shapes, datasets=2, storage=storage, device=device)
        for device in ("cuda", "cpu")
    )
    g = torch.Generator().manual_seed(4)
    for dataset, n in enumerate((500, 900)):  # the second one wraps
        columns = {name: torch.randn(n, *shape, generator=g) for name, shape in shapes.items()}
        cpu.extend(columns, dataset)
        gpu.extend({name: column.cuda() for name, column in columns.items()}, dataset)
    for step in range(3):
        ours = cpu.sample(257, members=6, seed=9, step=step, agents=agents)
        theirs = gpu.sample(257, members=6, seed=9, step=step, agents=agents)
        for name, column in ours.items():
            assert torch.equal(theirs[name].cpu(), column), name


@pytest.mark.parametrize("beta", [0.0, 1.0, 8.0])
@pytest.mark.parametrize("refit", [_core.CemRefit.softmax, _core.CemRefit.elite])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-12)])
def test_cuda_refits_like_the_cpu(
    dtype: torch.dtype, tolerance: float, refit: _core.CemRefit, beta: float
) -> None:
    need_gpu()
    members, batch, samples, size = 3, 67, 25, 2
    g = torch.Generator().manual_seed(6)
    mu = torch.rand(members, batch, size, dtype=dtype, generator=g) - 0.5
    sigma = torch.rand(members, batch, size, dtype=dtype, generator=g) + 0.1
    actions = torch.rand(members, batch, samples, size, dtype=dtype, generator=g) * 2 - 1
    q = (torch.randn(members, batch, samples, dtype=dtype, generator=g) * 3).round()  # with equal scores
    bad = torch.tensor([float("nan"), float("inf"), -float("inf")], dtype=dtype)
    q[0, :, 3], q[1, ::2, 0] = bad[torch.arange(batch) % 3], bad[1]
    q[2, 0], q[2, 1, 1:], q[2, 2, 2:] = bad[0], bad[0], bad[1]  # none, one and two that are finite
    options = _core.CemOptions(3, samples, refit, 5, 0.0, 2.0, beta, _core.Precision.float32)
    ours = _core.cem_refit(mu, sigma, actions, q, options)
    theirs = _core.cem_refit(*(x.cuda() for x in (mu, sigma, actions, q)), options)
    for here, there in zip(ours, theirs, strict=True):
        torch.testing.assert_close(there.cpu(), here, atol=tolerance, rtol=tolerance)


def need_draws() -> None:
    need_gpu()
    if not _core.nn_draws_on_cuda():
        pytest.skip("this build of omar has no CUDA kernels")


def steps_of(step: int) -> list[Step]:
    """The step as a number and in device memory."""
    return [step, torch.tensor(step, device="cuda")]


@pytest.mark.parametrize("sizes", [(3, 70, 10, 2), (2, 5, 4, 1), (1, 1000, 1, 3), (2, 0, 4, 1)])
def test_cuda_draws_the_candidates_of_the_cpu(sizes: tuple[int, int, int, int]) -> None:
    need_draws()
    members, batch, samples, size = sizes
    seed, number = 2**50 + 3, 4_000_000_001
    here, there = torch.zeros(members, batch, size), torch.zeros(members, batch, size, device="cuda")
    uniform = uniform_candidates(*sizes, seed=seed, step=number, like=here)
    normal = normal_candidates(here, 1.0, samples, seed=seed, step=number)
    searched = cem.sample(here, here + 0.3, samples, seed=seed, step=number, round=2) if batch else here
    for step in steps_of(number):
        ours = uniform_candidates(*sizes, seed=seed, step=step, like=there)
        assert torch.equal(ours.actions.cpu(), uniform.actions)
        assert torch.equal(ours.log_density.cpu(), uniform.log_density)
        around = normal_candidates(there, 1.0, samples, seed=seed, step=step)
        torch.testing.assert_close(around.actions.cpu(), normal.actions, atol=2e-6, rtol=2e-6)
        torch.testing.assert_close(around.log_density.cpu(), normal.log_density, atol=2e-5, rtol=2e-6)
        if not batch:
            continue
        actions = cem.sample(there, there + 0.3, samples, seed=seed, step=step, round=2)
        torch.testing.assert_close(actions.cpu(), searched, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("shape", [(70, 3, 2), (3, 1001), (5, 1), (0, 3)])
def test_cuda_draws_actions_and_noise_of_the_cpu(shape: tuple[int, ...]) -> None:
    need_draws()
    here, there = torch.zeros(1), torch.zeros(1, device="cuda")
    for step in steps_of(4_000_000_001):
        draw, known = Draw(3, step), Draw(3, 4_000_000_001)
        uniform = uniform_actions(shape, draw, like=there)
        assert torch.equal(uniform.cpu(), uniform_actions(shape, known, like=here))
        normal = normal_like(shape, draw, like=there)
        torch.testing.assert_close(normal.cpu(), normal_like(shape, known, like=here), atol=2e-6, rtol=2e-6)


def test_a_step_out_of_range_on_the_device_gives_nan() -> None:
    need_draws()
    for number in (-1, 2**32):
        draw = Draw(3, torch.tensor(number, device="cuda"))
        assert uniform_actions((4, 3), draw, like=torch.zeros(1, device="cuda")).isnan().all()


def test_cuda_scores_in_bfloat16_as_the_cpu() -> None:
    need_gpu()
    critic = StackedMlp(4, (20, 64, 64, 1), seed=1)
    obs, actions = torch.randn(2, 33, 18), torch.rand(2, 33, 10, 2) * 2 - 1
    with torch.no_grad():
        here = candidate_values(critic, obs, actions, kernels="plain", precision="bf16")
        there = candidate_values(critic.cuda(), obs.cuda(), actions.cuda(), precision="bf16")
    torch.testing.assert_close(there.cpu(), here, atol=2e-3, rtol=0)


@pytest.mark.parametrize("samples", [1, 10])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_cuda_critics_are_those_of_the_cpu(layer_norm: bool, samples: int) -> None:
    need_gpu()
    critic = StackedMlp(4, (20, 64, 64, 1), seed=1, dtype=torch.float64, layer_norm=layer_norm)
    parts = [torch.randn(1, 33, 12).double(), torch.randn(2, 33, 6).double()]  # the first one is shared
    actions = torch.rand(2, 33, samples, 2).double()
    found = []
    for device in ("cpu", "cuda"):
        there = critic.to(device)
        given, own = [p.to(device) for p in parts], actions.to(device).requires_grad_()
        q = candidate_values(there, given, own)
        gradients = torch.autograd.grad(q.square().sum(), [own, *there.parameters()])
        found.append([t.detach().cpu() for t in (q, *gradients)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(theirs, ours)


def test_a_captured_draw_takes_the_step_of_its_replay() -> None:
    need_draws()
    step, like = torch.zeros((), dtype=torch.int64, device="cuda"), torch.zeros(1, device="cuda")

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = uniform_candidates(2, 33, 10, 2, seed=5, step=step, like=like).actions
    for number in (3, 9, 4):
        step.fill_(number)
        graph.replay()
        expected = uniform_candidates(2, 33, 10, 2, seed=5, step=number, like=torch.zeros(1))
        assert torch.equal(captured.cpu(), expected.actions)


MEMBERS, STATES, OBS, ACT = 6, 64, 18, 2


def learner(name: str, dtype: torch.dtype, device: str = "cuda") -> tuple[Algorithm, Agents]:
    agents = Agents(
        Backbone(batch_size=STATES, hidden=32, kernels="plain"),
        seeds=range(MEMBERS),
        obs_size=OBS,
        action_size=ACT,
        device=device,
        dtype=dtype,
        action_statistics=(
            torch.zeros(MEMBERS, ACT, dtype=dtype, device=device),
            torch.full((MEMBERS, ACT), 0.6, dtype=dtype, device=device),
        ),
    )
    kind = get_algorithm(name)
    more = {} if name == "cql" else {"tau": 0.5}
    return kind(kind.Settings(policy_samples=4, **more), agents), agents


def minibatch(step: int, dtype: torch.dtype, device: str = "cuda") -> Batch:
    g = torch.Generator().manual_seed(step)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(MEMBERS, STATES, *shape, generator=g, dtype=dtype).to(device)

    return Batch(draw(OBS), draw(ACT).clamp(-1, 1), draw(), draw(OBS), (draw() > 1).to(dtype))


@pytest.mark.parametrize("name", ["cql", "omar"])
def test_cuda_updates_as_the_cpu_does(name: str) -> None:
    need_draws()
    gpu, cpu = learner(name, torch.float64), learner(name, torch.float64, "cpu")
    for step in range(5):
        here = update(*cpu, minibatch(step, torch.float64, "cpu"), Draw(3, step))
        there = update(*gpu, minibatch(step, torch.float64), Draw(3, step))
        # Normals are float32, in which the devices' last bits differ.
        for key, term in here.items():
            torch.testing.assert_close(there[key].cpu(), term, atol=1e-3, rtol=1e-3)
