"""The policy: what it computes, its file, what both refuse."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save

import omar
from data_cases import some_policy, some_prey
from omar.behaviors.policy import Policy
from omar.behaviors.policy_file import (
    _checksum,
    from_bytes,
    load_policies,
    load_policy,
    save_policies,
    to_bytes,
)
from omar.errors import OmarError
from omar.nets import StackedMlp
from omar.tasks import References, get_task

HEAD = {"format": "omar-policy", "format_version": "1"}
OWN = References(1.0, 2.0, "test")


def slow_actions(policy, observations):
    """Actions [B, N, A], agent by agent in float64."""
    columns = []
    for n in range(policy.agents):
        x = observations[:, n].double()
        for i, (weight, bias) in enumerate(zip(policy.weights, policy.biases, strict=True)):
            x = x @ weight[n].double() + bias[n].double()
            x = x.clamp(min=0) if i < len(policy.weights) - 1 else torch.tanh(x)
        columns.append(x)
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("task", ["simple_spread", "simple_tag", "simple_world"])
def test_actions_are_the_tanh_of_each_agents_network(task):
    policy = some_policy(task)
    observations = torch.randn(7, policy.agents, policy.obs_size)
    expected = slow_actions(policy, observations)
    torch.testing.assert_close(policy(observations).double(), expected, rtol=0, atol=1e-7)
    torch.testing.assert_close(policy(observations.double()), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_actions_come_back_as_the_observations_came(shape, dtype):
    policy = some_policy()
    observations = torch.randn(*shape, 3, 18).to(getattr(torch, dtype))
    actions = policy(observations)
    assert (actions.shape, actions.dtype) == ((*shape, 3, 2), observations.dtype)
    array = observations.numpy()
    found = policy(array)
    assert isinstance(found, np.ndarray)
    assert (found.shape, found.dtype) == ((*shape, 3, 2), array.dtype)
    np.testing.assert_array_equal(found, actions.numpy())


def test_arrays_of_any_layout_are_taken():
    policy = some_policy()
    array = np.random.default_rng(0).normal(size=(5, 3, 18)).astype(np.float32)
    expected = policy(array)
    array.setflags(write=False)
    np.testing.assert_array_equal(policy(array), expected)
    np.testing.assert_array_equal(policy(np.asfortranarray(array)), expected)
    np.testing.assert_array_equal(policy(array[::-1]), expected[::-1])
    swapped = policy(array.astype(">f4"))
    np.testing.assert_array_equal(swapped, expected)
    tensor = torch.from_numpy(expected).new_tensor(array).requires_grad_()
    assert not policy(tensor).requires_grad


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        (torch.zeros(3, 17), r"floating-point \[..., N, O\] = \[..., 3, 18\], got torch.float32 \[3, 17\]"),
        (np.zeros((2, 18)), r"\[..., 3, 18\], got float64 \[2, 18\]"),
        (np.zeros(18), r"got float64 \[18\]"),
        (torch.zeros(3, 18, dtype=torch.int64), r"got torch.int64 \[3, 18\]"),
        (np.zeros((3, 18), np.int32), r"got int32 \[3, 18\]"),
        (torch.zeros(3, 18, device="meta"), r"got torch.float32 \[3, 18\]"),
        (torch.zeros(3, 18).to_sparse(), r"got torch.float32 \[3, 18\]"),
        ([[0.0] * 18] * 3, "must be a numpy array or a torch tensor, got list"),
    ],
)
def test_observations_that_are_refused(observations, message):
    with pytest.raises(OmarError, match=message):
        some_policy()(observations)


def test_a_policy_does_not_follow_the_networks_it_was_made_from():
    mlp = StackedMlp(3, (18, 8, 2))
    policy = Policy.of_networks(mlp, range(3), get_task("simple_spread"))
    checksum = policy.sha256
    with torch.no_grad():
        mlp.weights[0].add_(1.0)
    assert policy.sha256 == checksum
    with pytest.raises(AttributeError):
        policy.task = "simple_tag"


def test_padded_inputs_are_dropped():
    task = get_task("simple_tag")
    mlp = StackedMlp(1, (16, 8, 2))
    prey = Policy.of_networks(mlp, [0], task)
    assert (prey.moves_prey, prey.agents, prey.obs_size) == (True, 1, 14)
    padded = torch.randn(1, 5, 16)
    padded[..., 14:] = 0
    expected = torch.tanh(mlp(padded)).transpose(0, 1).detach()
    torch.testing.assert_close(prey(padded[..., :14].transpose(0, 1)), expected)


def test_networks_that_diverged_make_no_policy():
    mlp = StackedMlp(3, (18, 8, 2))
    with torch.no_grad():
        mlp.weights[1][2, 0, 0] = torch.nan
    with pytest.raises(OmarError, match="has weights that are not finite: its training diverged"):
        Policy.of_networks(mlp, range(3), get_task("simple_spread"))


def layers(sizes=(18, 8, 2), agents=3):
    mlp = StackedMlp(agents, sizes)
    return [w.detach() for w in mlp.weights], [b.detach() for b in mlp.biases]


def changed(kind, layer, tensor):
    found = layers()
    found[kind][layer] = tensor
    return found


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            ([], []),
            "not a policy of the learners of simple_spread: it needs the weights and the biases",
        ),
        ((layers()[0], layers()[1][:1]), "of each layer, got 2 and 1"),
        (layers((17, 8, 2)), r"weights.0 must be \[3, 18, 8\], got \[3, 17, 8\]"),
        (layers((18, 8, 3)), r"weights.1 must be \[3, 8, 2\], got \[3, 8, 3\]"),
        (layers(agents=2), r"weights.0 must be \[3, 18, 8\], got \[2, 18, 8\]"),
        (changed(1, 0, torch.zeros(3, 9)), r"weights.0 must be \[3, 18, 9\], got \[3, 18, 8\]"),
        (changed(1, 0, torch.zeros(3, 0)), r"weights.0 must be \[3, 18, 1\], got \[3, 18, 8\]"),
        (changed(1, 0, torch.zeros(())), r"weights.0 must be \[3, 18, 1\]"),
        (changed(0, 1, torch.full((3, 8, 2), torch.inf)), "weights.1 has numbers that are not finite"),
        (changed(1, 1, torch.full((3, 2), torch.nan)), "biases.1 has numbers that are not finite"),
        (
            changed(0, 0, torch.zeros(3, 18, 8).double()),
            "must be a dense float32 tensor on the CPU, got float64",
        ),
        (changed(0, 0, torch.zeros(3, 18, 8).to_sparse()), "got float32 sparse_coo on cpu"),
        (changed(0, 0, torch.zeros(3, 18, 8, device="meta")), "got float32 strided on meta"),
        (changed(0, 0, "text"), "weights.0 must be a tensor, got str"),
    ],
)
def test_tensors_that_are_refused(tensors, message):
    with pytest.raises(OmarError, match=message):
        Policy(*map(tuple, tensors), "simple_spread")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"task": "chess"}, "unknown task 'chess'"),
        ({"references": References(1.0, 1.0, "x")}, "two different finite returns, got 1.0 and 1.0"),
        ({"references": References(1.0, float("nan"), "x")}, "two different finite returns, got 1.0 and nan"),
        ({"prey": some_prey()}, "simple_spread has no prey, but one was given"),
        ({"source": {"update": 3}}, "the source of a policy must map names to text"),
        ({"source": ["x"]}, "the source of a policy must map names to text"),
    ],
)
def test_entries_that_are_refused(entries, message):
    with pytest.raises(OmarError, match=message):
        replace(some_policy(), **entries)


def test_the_prey_of_a_policy_is_one_of_its_task():
    with pytest.raises(OmarError, match="must be a policy of the prey of simple_tag"):
        some_policy("simple_tag", prey=some_prey("simple_world"))
    with pytest.raises(OmarError, match="must be a policy of the prey of simple_tag"):
        some_policy("simple_tag", prey=some_policy("simple_tag"))
    with pytest.raises(OmarError, match=r"not a policy of the prey of simple_tag: .* must be \[1, 14, 16\]"):
        replace(some_policy("simple_tag"), prey=None)  # what is left could only be a prey


def seeds(task="simple_tag", count=3, **entries):
    prey = some_prey(task, seed=9) if get_task(task).has_prey else None
    return [
        some_policy(task, seed=s, prey=prey, references=OWN, source={"seed": str(s)}, **entries)
        for s in range(count)
    ]


def same(a, b):
    pairs = zip((*a.weights, *a.biases), (*b.weights, *b.biases), strict=True)
    return all(torch.equal(x, y) for x, y in pairs) and (a.task, a.references, a.source) == (
        b.task,
        b.references,
        b.source,
    )


@pytest.mark.parametrize("task", ["simple_spread", "simple_tag"])
def test_a_file_gives_back_every_seed(tmp_path, task):
    path, policies = tmp_path / "policy.safetensors", seeds(task)
    save_policies(path, policies)
    found = load_policies(path)
    assert len(found) == 3
    for a, b in zip(found, policies, strict=True):
        assert same(a, b)
        assert (a.prey is None and b.prey is None) or same(a.prey, b.prey)
    assert same(load_policy(path, 2), policies[2])
    assert same(omar.load_policy(str(path)), policies[0])
    with pytest.raises(OmarError, match=r"policy.safetensors holds the training seeds 0 to 2, got 3"):
        load_policy(path, 3)


def test_another_process_writes_the_same_bytes_and_imports_what_it_needs_when_it_does(tmp_path):
    save_policies(tmp_path / "a", seeds())
    code = """
import sys, omar
assert "safetensors" not in sys.modules
from omar.behaviors import save_policies
save_policies(sys.argv[2], omar.load_policies(sys.argv[1]))
"""
    subprocess.run([sys.executable, "-c", code, tmp_path / "a", tmp_path / "b"], check=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert omar.Policy is Policy
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = omar.nothing


def test_policies_that_do_not_belong_in_one_file():
    first, *_ = seeds()
    for other in (
        some_policy("simple_spread"),
        some_policy("simple_tag", hidden=8, prey=first.prey, references=OWN),
        replace(first, references=None),
        replace(first, prey=some_prey(seed=1)),
    ):
        with pytest.raises(OmarError, match="must have the same task, shapes, references and prey"):
            to_bytes([first, other])
    with pytest.raises(OmarError, match="needs at least one policy"):
        to_bytes([])


def test_every_flipped_bit_is_noticed(tmp_path):
    data = to_bytes(seeds(count=1))
    path = tmp_path / "policy.safetensors"
    rng = np.random.default_rng(0)
    header = 8 + int.from_bytes(data[:8], "little")
    places = [*range(9), *rng.integers(9, header, 150), *rng.integers(header, len(data), 50)]
    for place in places:
        for bit in (0, 5):
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            with pytest.raises(OmarError, match=r"policy.safetensors (is|has)"):
                from_bytes(bytes(damaged), path)
    for length in (0, 7, 8, header - 1, header, len(data) - 1):
        with pytest.raises(OmarError, match=r"policy.safetensors is not a whole safetensors file"):
            from_bytes(data[:length], path)


def rewritten(change=None, **metadata):
    """A file with other metadata or tensors and a checksum that fits them."""
    from omar.behaviors.policy_file import _serialize

    data = to_bytes(seeds(count=2))
    from safetensors.torch import load

    tensors = load(data)
    entries = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"] | metadata
    entries = {name: text for name, text in entries.items() if text is not None}
    if change is not None:
        change(tensors)
    return _serialize(tensors, entries | {"sha256": _checksum(tensors, entries)})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"hello", "is not a whole safetensors file"),
        (save({"x": torch.zeros(1)}), "is not a policy: its `format` is not 'omar-policy'"),
        (save({"x": torch.zeros(1)}, HEAD), "is damaged: its checksum does not match its contents"),
        (
            save({"x": torch.zeros(1).half()}, HEAD),
            "is not a policy: x must be float32, got F16",
        ),
        (save({"x": torch.zeros(4, dtype=torch.float8_e5m2)}, HEAD), "got F8_E5M2"),
        (rewritten(format="x"), "is not a policy: its `format` is not 'omar-policy'"),
        (rewritten(format_version="2"), "has format version '2', this version of omar reads '1'"),
        (rewritten(task="chess"), "is not a policy: unknown task 'chess'"),
        (rewritten(task="simple_world"), r"weights.0 must be \[1, 22, 16\], got \[1, 14, 16\]"),
        (rewritten(references="[1]"), "an entry of its metadata has the wrong form"),
        (rewritten(references="{"), "an entry of its metadata has the wrong form"),
        (rewritten(references="[" * 100_000), "an entry of its metadata has the wrong form"),
        (rewritten(references='{"random": "a", "expert": 1, "source": ""}'), "has the wrong form"),
        (rewritten(references=f'{{"random": {10**400}, "expert": 1, "source": ""}}'), "has the wrong form"),
        (rewritten(references=None), "an entry of its metadata has the wrong form"),
        (rewritten(sources="[]"), "must hold one policy for each of its 0 sources"),
        (rewritten(sources="3"), "an entry of its metadata has the wrong form"),
        (rewritten(sources="[{}, 3]"), "the source of a policy must map names to text"),
        (rewritten(sources='[{}, {"a": 1}]'), "the source of a policy must map names to text"),
        (rewritten(prey=None), "its metadata and its tensors differ in whether there is a prey"),
        (rewritten(prey="{}"), "an entry of its metadata has the wrong form"),
        (rewritten(lambda t: t.pop("weights.1")), "is not a policy: it holds biases.0, biases.1"),
        (rewritten(lambda t: t.clear()), "differ in whether there is a prey"),
        (rewritten(lambda t: t.update({"weights.0": t["weights.0"][:1]})), "for each of its 2 sources"),
        (rewritten(lambda t: t["biases.0"].fill_(torch.nan)), "biases.0 has numbers that are not finite"),
    ],
)
def test_files_that_are_refused(tmp_path, data, message):
    path = tmp_path / "policy.safetensors"
    path.write_bytes(data)
    with pytest.raises(OmarError, match=message) as caught:
        load_policies(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(OmarError, match=r"no policy at .*nowhere: there is no such file"):
        load_policies(tmp_path / "nowhere")
    with pytest.raises(OmarError, match="there is no such file"):
        load_policies(tmp_path)
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(2**40)  # a hole on the disk
    with pytest.raises(OmarError, match="has 1099511627776 bytes, a policy at most"):
        load_policies(large)
