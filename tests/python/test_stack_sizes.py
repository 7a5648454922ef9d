"""A seed is the same, bit for bit, in a stack of any size and with any number of threads."""

import pytest
import torch

from omar.algorithms.optimizer import StackedOptimizer
from omar.cem import CemOptions, maximize
from omar.nets import StackedMlp
from omar.nets.batch_norm import moments

SIZES = {"odd": (5, 7, 3), "wide": (17, 256, 256, 6)}  # the second has more numbers than one thread takes


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def stack(seeds, learners, twins, sizes):
    """Networks t * M + m; every member's numbers depend on its seed and learner alone."""
    members = [(s, n) for s in range(seeds) for n in range(learners)] * twins
    networks = StackedMlp(len(members), sizes, seeds=[s for s, _ in members])
    columns = [torch.Generator().manual_seed(10 * s + n) for s, n in members]
    mean, std = (torch.stack([torch.randn(sizes[0], generator=g) for g in columns]) for _ in range(2))
    networks.standardize(mean, std.abs() + 0.5)
    return networks, columns


def first_seed(tensor, seeds, learners):
    return tensor.detach().unflatten(0, (-1, seeds, learners))[:, 0].clone()


def folded(seeds, learners, twins, sizes):
    networks, columns = stack(seeds, learners, twins, sizes)
    weights, biases = networks.layers()
    factors = [
        torch.stack([torch.randn(t.shape[1:], generator=g) for g in columns]) for t in (weights[0], biases[0])
    ]
    loss = (weights[0] * factors[0]).sum() + (biases[0] * factors[1]).sum()
    (gradient,) = torch.autograd.grad(loss, [networks.weights[0]])
    return [first_seed(t, seeds, learners) for t in (weights[0], biases[0], gradient)]


def optimized(seeds, learners, twins, sizes):
    networks, columns = stack(seeds, learners, twins, sizes)
    optimizer = StackedOptimizer(
        networks, members=seeds * learners, learning_rate=1e-2, polyak_rate=0.1, clip_norm=0.5
    )
    for _ in range(3):
        terms = [
            p * torch.stack([torch.randn(p.shape[1:], generator=g) for g in columns])
            for p in networks.parameters()
        ]
        losses = torch.cat([term.flatten(1) for term in terms], dim=1).sum(dim=1)
        optimizer.step(losses.view(twins, -1).sum(dim=0))
        optimizer.track()
    return [first_seed(t, seeds, learners) for t in optimizer.tensors().values()]


def normalized(seeds, learners, twins, sizes):
    """Layers for candidate actions, one step on a loss of them, and the moments of many columns."""
    networks, columns = stack(seeds, learners, twins, sizes)
    members, actions = seeds * learners, 2
    networks.input_mean = networks.input_std = None
    networks.normalize_batches(members)
    optimizer = StackedOptimizer(
        networks, members=members, learning_rate=1e-2, polyak_rate=0.1, clip_norm=0.5
    )

    def draw(*shape):
        return torch.stack([torch.randn(shape, generator=g) for g in columns[:members]])

    inputs = [draw(1000, sizes[0] - actions), draw(1000, 7, actions)]
    weights, biases, _ = networks.layers_for(inputs)
    loss = torch.cat([t.sin().flatten(1) for t in (*weights, *biases)], dim=1).sum(dim=1)
    networks.batch_norm.follow(draw(1000, sizes[0]))
    optimizer.step(loss.view(twins, -1).sum(dim=0))
    optimizer.track()
    wide = [*moments(draw(1000, 300)), *moments(draw(999, 45).double())]
    tensors = [weights[0], biases[0], *wide, *optimizer.tensors().values()]
    return [first_seed(t, seeds, learners) for t in tensors]


def searched(seeds, learners, twins, sizes):
    """The search that normalises each round's inputs; in float64, where every sum shows its order."""
    members, actions = seeds * learners, 2
    own = [(s, n) for s in range(seeds) for n in range(learners)]
    networks = StackedMlp(
        members * twins, (*sizes[:-1], 1), seeds=[s for s, _ in own] * twins, dtype=torch.float64
    )
    networks.normalize_batches(members)
    columns = [torch.Generator().manual_seed(10 * s + n) for s, n in own]
    obs, pi = (
        torch.stack([torch.randn(250, size, generator=g, dtype=torch.float64) for g in columns])
        for size in (sizes[0] - actions, actions)
    )
    found = maximize(networks, obs, pi.tanh(), CemOptions(reduction="min"), seed=1, step=2)
    return [first_seed(t, seeds, learners) for t in found]


@pytest.mark.parametrize("work", [folded, optimized, normalized, searched])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize(("learners", "twins"), [(1, 1), (1, 2), (3, 1), (3, 2)])
def test_a_seed_alone_is_the_same_as_among_others(work, sizes, learners, twins):
    torch.set_num_threads(1)
    alone = work(1, learners, twins, sizes)
    for seeds, threads in ((1, 2), (2, 1), (2, 2), (5, 2)):
        torch.set_num_threads(threads)
        for a, b in zip(alone, work(seeds, learners, twins, sizes), strict=True):
            assert torch.equal(a, b), f"{seeds} seeds, {threads} threads"
