"""A policy as a model of one file for other programs: TorchScript or ONNX.

Both map float32 observations [B, N, O], B of any size, to float32 actions [B, N, A]. Inside they compute in
float64, as `Policy` does: float32 sums in another order would differ in the sixth digit.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import OmarError

if TYPE_CHECKING:
    from torch import Tensor

    from .policy import Policy

TOLERANCE = 1e-6  # largest difference of an action
BATCHES = (1, 2, 257)  # sizes that are tried
METADATA = "omar.json"  # the entry of a TorchScript file that says what it is
OPSET, IR_VERSION = 17, 8  # of ONNX: runtimes read them since 2022


class _Actor(nn.Module):
    """`tanh(mlp(o))` with plain batched products, which tracing follows."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.depth = len(policy.weights)
        for i, (weight, bias) in enumerate(zip(policy.weights, policy.biases, strict=True)):
            self.register_buffer(f"weight_{i}", weight.double())
            self.register_buffer(f"bias_{i}", bias[:, None].double())

    def forward(self, observations: Tensor) -> Tensor:
        x = observations.double().transpose(0, 1)
        for i in range(self.depth):
            x = torch.bmm(x, getattr(self, f"weight_{i}")) + getattr(self, f"bias_{i}")
            if i < self.depth - 1:
                x = torch.relu(x)
        return torch.tanh(x).transpose(0, 1).float()


def to_torchscript(policy: Policy) -> bytes:
    """The contents of a file for `torch.jit.load`, in Python or C++; `omar.json` in it says what it is.

    Raises:
        OmarError: The model does not act as the policy does.
    """
    buffer = io.BytesIO()
    example = torch.zeros(2, policy.agents, policy.obs_size)
    with warnings.catch_warnings():  # that torch names successors of TorchScript is no concern of a user
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(_Actor(policy).eval(), example)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, buffer, _extra_files={METADATA: json.dumps(_description(policy))})
        data = buffer.getvalue()
        model = torch.jit.load(io.BytesIO(data))  # type: ignore[no-untyped-call]
        _check(policy, model)
    return data


def to_onnx(policy: Policy) -> bytes:
    """The contents of an ONNX file with the input "observations" and the output "actions".

    Raises:
        OmarError: The package onnx is not installed, or the model does not act as the policy does.
    """
    try:
        import onnx
        from onnx.reference import ReferenceEvaluator
    except ImportError:
        raise OmarError(
            "ONNX files need the package onnx: install it with `pip install omar[onnx]`"
        ) from None
    model = _onnx_model(policy, onnx)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    session = ReferenceEvaluator(onnx.load_model_from_string(data))

    def act(observations: Tensor) -> Tensor:
        outputs: Any = session.run(None, {"observations": observations.numpy()})
        return torch.from_numpy(outputs[0])

    _check(policy, act)
    return data


def _onnx_model(policy: Policy, onnx: Any) -> Any:
    helper, numpy_helper, kinds = onnx.helper, onnx.numpy_helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["observations"], ["wide"], to=kinds.DOUBLE),
        helper.make_node("Transpose", ["wide"], ["x_0"], perm=[1, 0, 2]),  # [N, B, O]
    ]
    constants = []
    depth = len(policy.weights)
    for i, (weight, bias) in enumerate(zip(policy.weights, policy.biases, strict=True)):
        constants += [
            numpy_helper.from_array(weight.double().numpy(), f"weight_{i}"),
            numpy_helper.from_array(bias[:, None].double().numpy(), f"bias_{i}"),
        ]
        nodes += [
            helper.make_node("MatMul", [f"x_{i}", f"weight_{i}"], [f"product_{i}"]),
            helper.make_node("Add", [f"product_{i}", f"bias_{i}"], [f"sum_{i}"]),
            helper.make_node("Relu" if i < depth - 1 else "Tanh", [f"sum_{i}"], [f"x_{i + 1}"]),
        ]
    nodes += [
        helper.make_node("Transpose", [f"x_{depth}"], ["by_world"], perm=[1, 0, 2]),
        helper.make_node("Cast", ["by_world"], ["actions"], to=kinds.FLOAT),
    ]
    ends = [
        helper.make_tensor_value_info(name, kinds.FLOAT, ["batch", policy.agents, size])
        for name, size in (("observations", policy.obs_size), ("actions", policy.action_size))
    ]
    graph = helper.make_graph(nodes, "policy", ends[:1], ends[1:], constants)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="omar")
    helper.set_model_props(model, {name: str(value) for name, value in _description(policy).items()})
    return model


def _description(policy: Policy) -> Mapping[str, str]:
    """What the model says about itself."""
    return {"task": policy.task, "sha256": policy.sha256, "source": json.dumps(dict(policy.source))}


def _check(policy: Policy, model: Callable[[Tensor], Tensor]) -> None:
    """Compares a model with its policy on random observations.

    Raises:
        OmarError: An action differs by more than TOLERANCE, or has another shape.
    """
    generator = torch.Generator().manual_seed(0)
    for batch in BATCHES:
        observations = torch.randn(batch, policy.agents, policy.obs_size, generator=generator)
        expected, found = policy(observations), model(observations)
        difference = float((found - expected).abs().max()) if found.shape == expected.shape else float("inf")
        if not difference <= TOLERANCE:
            raise OmarError(
                f"the model's actions differ from the policy's by {difference:.1e}, more than {TOLERANCE:.0e}"
            )
