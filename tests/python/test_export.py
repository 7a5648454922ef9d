"""Exported models act as their policies do, in the runtimes they are for."""

import io
import json
import sys
import warnings

import numpy as np
import onnxruntime
import pytest
import torch

from data_cases import some_policy
from omar.behaviors import exports, load
from omar.behaviors.policy_file import save_policies
from omar.export import main

POLICIES = {
    "spread": some_policy("simple_spread", hidden=8),
    "shipped": load("simple_world", "expert"),  # large weights: float32 sums would differ
}


def run_onnx(data):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return lambda observations: session.run(["actions"], {"observations": observations})[0]


def run_torchscript(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch names successors of TorchScript
        model = torch.jit.load(io.BytesIO(data))
    return lambda observations: model(torch.from_numpy(observations)).numpy()


RUNNERS = {"onnx": run_onnx, "torchscript": run_torchscript}
FORMATS = pytest.mark.parametrize("kind", RUNNERS)


@FORMATS
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES.keys())
def test_models_act_as_their_policies(tmp_path, capsys, kind, policy):
    source, out = tmp_path / "policy.safetensors", tmp_path / "model"
    save_policies(source, [policy])
    assert main(["--policy", str(source), "--format", kind, "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    model = RUNNERS[kind](out.read_bytes())
    rng = np.random.default_rng(0)
    for batch in (1, 3, 500):
        for scale in (0.1, 1.0, 10.0):
            observations = (scale * rng.normal(size=(batch, policy.agents, policy.obs_size))).astype(
                np.float32
            )
            actions = model(observations)
            assert actions.dtype == np.float32
            np.testing.assert_allclose(actions, policy(observations), rtol=0, atol=1e-6)


@FORMATS
def test_a_run_is_exported_by_seed(tmp_path, kind):
    policies = [some_policy("simple_tag", seed=s) for s in range(2)]
    save_policies(tmp_path / "policy.safetensors", policies)
    out = tmp_path / "model"
    assert main(["--run", str(tmp_path), "--format", kind, "--out", str(out), "--seed", "1"]) == 0
    observations = np.ones((1, 3, 16), np.float32)
    actions = RUNNERS[kind](out.read_bytes())(observations)
    np.testing.assert_allclose(actions, policies[1](observations), rtol=0, atol=1e-6)
    assert np.abs(actions - policies[0](observations)).max() > 1e-3


def test_models_say_what_they_are():
    import onnx

    policy = POLICIES["shipped"]
    properties = onnx.load_model_from_string(exports.to_onnx(policy)).metadata_props
    described = {"omar.json": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.load(io.BytesIO(exports.to_torchscript(policy)), _extra_files=described)
    for found in ({p.key: p.value for p in properties}, json.loads(described["omar.json"])):
        assert (found["task"], found["sha256"]) == ("simple_world", policy.sha256)


@FORMATS
def test_a_model_that_acts_otherwise_never_appears(tmp_path, capsys, monkeypatch, kind):
    save_policies(tmp_path / "policy.safetensors", [POLICIES["spread"]])
    monkeypatch.setattr(exports, "TOLERANCE", -1.0)
    out = tmp_path / "model"
    out.write_bytes(b"before")
    assert main(["--run", str(tmp_path), "--format", kind, "--out", str(out)]) == 2
    assert "the model's actions differ from the policy's by" in capsys.readouterr().err
    assert out.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "policy.safetensors"]


def test_a_missing_package_is_named(tmp_path, capsys, monkeypatch):
    save_policies(tmp_path / "policy.safetensors", [POLICIES["spread"]])
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["--run", str(tmp_path), "--format", "onnx", "--out", str(tmp_path / "model")]) == 2
    error = capsys.readouterr().err
    assert "ONNX files need the package onnx: install it with `pip install omar[onnx]`" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --run DIR or --policy FILE"),
        (["--run", "a", "--policy", "b"], "give either --run DIR or --policy FILE"),
        (["--run", "nowhere"], "nowhere is not the folder of a run"),
        (["--policy", "nowhere"], "no policy at nowhere: there is no such file"),
        (["--policy", "policy.safetensors", "--seed", "1"], "holds the training seeds 0 to 0, got 1"),
        (["--policy", "policy.safetensors", "--seed", "-1"], "holds the training seeds 0 to 0, got -1"),
        (["--policy", "policy.safetensors", "--out", "no/where"], "No such file or directory"),
    ],
)
def test_messages(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    save_policies(tmp_path / "policy.safetensors", [POLICIES["spread"]])
    assert main(["--format", "torchscript", "--out", "model", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "model").exists()
