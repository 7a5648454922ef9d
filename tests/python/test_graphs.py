"""The captured update on the CPU, with a recorder that repeats work as a CUDA graph would."""

from dataclasses import replace

import pytest
import torch

from omar import _core
from omar.algorithms import ALGORITHMS, Agents, Backbone, Batch, get_algorithm, update
from omar.offline import graphs
from omar.offline.graphs import WARM_UP, GraphedUpdate, choose_update
from omar.random import Draw

M, B, O, A = 4, 16, 6, 2
SETTINGS = {"cql": {"policy_samples": 4}, "omar": {"tau": 0.5, "policy_samples": 4}}


class FakeRecorder:
    """A graph on the CPU: a replay runs the captured work, into the terms that the capture gave."""

    def __init__(self):
        self.log = []

    def warm_up(self, work):
        self.log.append("warm up")
        return work()

    def capture(self, work):
        self.log.append("capture")
        self.work, self.terms = work, {}
        return self.terms

    def replay(self):
        self.log.append("replay")
        for name, term in self.work().items():
            self.terms.setdefault(name, torch.empty_like(term)).copy_(term)


def make_batch(step, dtype=torch.float32, terminated=True, states=B):
    g = torch.Generator().manual_seed(step)

    def draw(*shape):
        return torch.randn(M, states, *shape, generator=g, dtype=dtype)

    flags = (draw() > 1).to(dtype) if terminated else None
    return Batch(draw(O), draw(A).clamp(-1, 1), draw(), draw(O), flags)


def make(name, dtype=torch.float32, path="auto"):
    agents = Agents(
        Backbone(batch_size=B, hidden=8, path=path), seeds=range(M), obs_size=O, action_size=A, dtype=dtype
    )
    algorithm = get_algorithm(name)
    return algorithm(algorithm.Settings(**SETTINGS[name]), agents), agents


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name


@pytest.mark.parametrize("terminated", [False, True])
@pytest.mark.parametrize("path", ["auto", "plain"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_replays_train_as_plain_updates_do_bit_for_bit(name, dtype, path, terminated):
    recorder = FakeRecorder()
    graphed = GraphedUpdate(recorder)
    ours, theirs = make(name, dtype, path), make(name, dtype, path)
    for step in range(WARM_UP + 6):
        batch, draw = make_batch(step, dtype, terminated), Draw(7, 100 + step)
        assert_same(graphed(*ours, batch, draw), update(*theirs, batch, draw))
        assert_same(ours[1].tensors(), theirs[1].tensors())
    assert recorder.log == ["warm up"] * WARM_UP + ["capture"] + ["replay"] * 6


def test_what_a_graph_reads_and_writes_stays_in_its_place(monkeypatch):
    # A graph has the addresses of its capture; the fake recorder would follow a tensor that was replaced.
    seen = []

    def spy(algorithm, agents, batch, draw):
        terms = update(algorithm, agents, batch, draw)
        assert draw.step.shape == ()
        tensors = [draw.step, *graphs._columns(batch).values(), *agents.tensors().values()]
        steps = [stack._adam.state[stack._flat]["step"] for stack in (agents.actor, agents.critic)]
        seen.append([tensor.data_ptr() for tensor in [*tensors, *steps]])
        return terms

    monkeypatch.setattr(graphs, "update", spy)
    graphed, learner = GraphedUpdate(FakeRecorder()), make("omar")
    batches = [make_batch(step) for step in range(WARM_UP + 3)]
    state = {name: tensor.clone() for name, tensor in learner[1].tensors().items()}
    for step, batch in enumerate(batches):
        graphed(*learner, batch, Draw(0, step))
        if step == WARM_UP + 1:
            learner[1].load(state, 0)
    assert len(seen) == WARM_UP + 3
    assert all(addresses == seen[0] for addresses in seen)


def test_a_graph_goes_on_from_a_loaded_state():
    graphed, ours, theirs = GraphedUpdate(FakeRecorder()), make("omar"), make("omar")
    for step in range(WARM_UP + 2):
        graphed(*ours, make_batch(step), Draw(0, step))
    state = {name: tensor.clone() for name, tensor in ours[1].tensors().items()}
    ours[1].load(state, 50)
    theirs[1].load(state, 50)
    for step in range(50, 53):
        assert_same(
            graphed(*ours, make_batch(step), Draw(0, step)), update(*theirs, make_batch(step), Draw(0, step))
        )
    assert_same(ours[1].tensors(), theirs[1].tensors())


def test_minibatches_are_copied():
    batch, graphed, learner = make_batch(0), GraphedUpdate(FakeRecorder()), make("cql")
    before = batch.observations.clone()
    graphed(*learner, batch, Draw(0, 0))
    graphed(*learner, make_batch(1), Draw(0, 1))
    assert torch.equal(batch.observations, before)


def test_the_cpu_runs_the_plain_update():
    for setting in ("auto", "off"):
        assert choose_update(setting, torch.device("cpu")) is update


def test_a_cuda_device_without_kernels_runs_the_plain_update(monkeypatch):
    monkeypatch.setattr(_core, "nn_draws_on_cuda", lambda: False)
    assert choose_update("auto", torch.device("cuda")) is update
    with pytest.raises(
        ValueError, match="--cuda-graph on cannot be had: this build of omar has no CUDA kernels"
    ):
        choose_update("on", torch.device("cuda"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g, a: g(*make("cql"), make_batch(1), Draw(0, 1)), "must be those of the first call"),
        (lambda g, a: g(*a, make_batch(1), Draw(3, 1)), "must be that of the first call, 0, got 3"),
        (
            lambda g, a: g(*a, make_batch(1, states=1), Draw(0, 1)),
            r"the shapes of the first call, .*'rewards': \[4, 16\].*, got .*'rewards': \[4, 1\]",
        ),
        (
            lambda g, a: g(*a, replace(make_batch(1), terminated=None), Draw(0, 1)),
            r"the shapes of the first call, .*'terminated': \[4, 16\]",
        ),
        (
            lambda g, a: choose_update("maybe", torch.device("cpu")),
            "unknown --cuda-graph 'maybe': expected one",
        ),
        (lambda g, a: choose_update("on", torch.device("cpu")), "on cannot be had: the device is cpu"),
    ],
)
def test_messages(call, message):
    graphed, learner = GraphedUpdate(FakeRecorder()), make("cql")
    graphed(*learner, make_batch(0), Draw(0, 0))
    with pytest.raises(ValueError, match=message):
        call(graphed, learner)
