"""One policy: the frozen networks of a team, with all that is needed to act and to score it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from .. import _core
from ..errors import OmarError
from ..tasks import References, Task, get_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import Tensor

    from ..nets import StackedMlp

Observations = TypeVar("Observations", "npt.NDArray[Any]", "Tensor")


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """The deterministic policies of N agents on raw observations: `a_n = tanh(mlp_n(o_n))`, ReLU in between.

    A policy moves the learners of its task, or, with `prey` None in a task that has a prey, the prey. It
    keeps copies of its tensors: float32, on the CPU.

    Attributes:
        weights: Per layer [N, in, out]. Normalisation of the observations is folded into the first layer.
        biases: Per layer [N, out].
        task: Name of the task.
        references: Returns that count as 0 and 100; None: the paper's.
        prey: The prey that the learners were trained against, itself a policy.
        source: Who made it: algorithm, update, checksum of the dataset, ...

    Raises:
        OmarError: Tensors that are not such networks, or entries of the wrong form.
    """

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]
    task: str
    references: References | None = None
    prey: Policy | None = None
    source: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks everything and takes copies."""
        task = get_task(self.task)
        _check_entries(self, task)
        agents, obs_size = (
            (task.num_agents - task.num_learners, task.obs_sizes[-1])
            if self.moves_prey
            else (task.num_learners, task.obs_size)
        )
        who = f"the prey of {task.name}" if self.moves_prey else f"the learners of {task.name}"
        try:
            check_layers(self.weights, self.biases, (agents, obs_size, task.action_size))
        except OmarError as error:
            raise OmarError(f"not a policy of {who}: {error}") from None
        for name in ("weights", "biases"):
            copies = tuple(tensor.detach().clone().contiguous() for tensor in getattr(self, name))
            object.__setattr__(self, name, copies)
        object.__setattr__(self, "source", dict(self.source))

    @staticmethod
    def of_networks(
        networks: StackedMlp,
        members: Sequence[int],
        task: Task,
        *,
        references: References | None = None,
        prey: Policy | None = None,
        source: Mapping[str, str] | None = None,
    ) -> Policy:
        """The policy that some members of a stack are now.

        Args:
            networks: Of any device; inputs beyond the observation's size are padding and dropped.
            members: One for each agent that the policy moves.
            task: That they act in.
            references: As the attribute.
            prey: As the attribute.
            source: As the attribute.

        Raises:
            OmarError: Weights that are not finite, or layer norm.
        """
        if networks.norm_scales:
            raise OmarError("a policy has no layer norm, but these networks have")
        moves_prey = task.has_prey and prey is None
        obs_size = task.obs_sizes[-1] if moves_prey else task.obs_size
        with torch.no_grad():
            weights, biases = (
                [tensor[list(members)].to("cpu", torch.float32) for tensor in layers]
                for layers in networks.layers()
            )
        if not all(bool(tensor.isfinite().all()) for tensor in (*weights, *biases)):
            raise OmarError(f"a policy of {task.name} has weights that are not finite: its training diverged")
        weights[0] = weights[0][:, :obs_size]
        return Policy(tuple(weights), tuple(biases), task.name, references, prey, source or {})

    @property
    def agents(self) -> int:
        """N: how many agents it moves."""
        return int(self.weights[0].shape[0])

    @property
    def obs_size(self) -> int:
        """O."""
        return int(self.weights[0].shape[1])

    @property
    def action_size(self) -> int:
        """A."""
        return int(self.weights[-1].shape[2])

    @property
    def moves_prey(self) -> bool:
        """Whether it moves the prey of its task, instead of the learners."""
        return get_task(self.task).has_prey and self.prey is None

    @property
    def scale(self) -> References:
        """Returns that count as 0 and 100: its own references, or the paper's."""
        return get_task(self.task).references if self.references is None else self.references

    @property
    def sha256(self) -> str:
        """Checksum of the weights and biases, layer by layer; it names a behaviour or a prey in a recipe."""
        digest = hashlib.sha256()
        for layer in zip(self.weights, self.biases, strict=True):
            for tensor in layer:
                digest.update(f"{tuple(tensor.shape)}".encode())
                digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def recipe(self) -> dict[str, str]:
        """What of the policy decides a dataset's bytes."""
        return {"source": "network", "sha256": self.sha256}

    def __call__(self, observations: Observations) -> Observations:
        """Actions [..., N, A] of raw observations [..., N, O].

        They come back as the observations came: numpy or torch, with their dtype and on their device. They
        are computed in float64, so that they are exact to float32's last digits, however many observations
        come at once. No gradient is recorded.

        Raises:
            OmarError: Neither an array nor a tensor of floating-point numbers, or a wrong shape.
        """
        if isinstance(observations, np.ndarray):
            self._check_observations(observations, np.issubdtype(observations.dtype, np.floating))
            wide = torch.tensor(observations.astype(np.float64))
            return self._exact(wide).numpy().astype(observations.dtype)
        if not isinstance(observations, torch.Tensor):
            kind = type(observations).__name__
            raise OmarError(f"observations must be a numpy array or a torch tensor, got {kind}")
        dense = observations.layout == torch.strided and not observations.is_meta
        self._check_observations(observations, dense and observations.is_floating_point())
        return self._exact(observations.detach().double()).to(observations.dtype)

    def _exact(self, observations: Tensor) -> Tensor:
        weights, biases = (
            [tensor.to(observations) for tensor in layers] for layers in (self.weights, self.biases)
        )
        return act(weights, biases, observations)

    def _check_observations(self, observations: npt.NDArray[Any] | Tensor, is_float: bool) -> None:
        expected, found = (self.agents, self.obs_size), tuple(observations.shape)
        if not is_float or found[-2:] != expected:
            raise OmarError(
                f"observations must be floating-point [..., N, O] = [..., {expected[0]}, {expected[1]}], "
                f"got {observations.dtype} {list(found)}"
            )


def act(weights: Sequence[Tensor], biases: Sequence[Tensor], observations: Tensor) -> Tensor:
    """Actions [..., M, A] of M stacked policies for observations [..., M, O]; no gradient is recorded."""
    return _core.nn_act(list(weights), list(biases), observations)


def check_layers(weights: Any, biases: Any, sizes: tuple[int, int, int]) -> None:
    """Refuses what are not N networks from O to A numbers.

    Args:
        weights: Per layer [N, in, out].
        biases: Per layer [N, out].
        sizes: N, O and A.

    Raises:
        OmarError: Names the first tensor that is wrong.
    """
    agents, width, action_size = sizes
    if not weights or len(weights) != len(biases):
        raise OmarError(
            f"it needs the weights and the biases of each layer, got {len(weights)} and {len(biases)}"
        )
    for i, layer in enumerate(zip(weights, biases, strict=True)):
        for name, tensor in zip((f"weights.{i}", f"biases.{i}"), layer, strict=True):
            check_dense(name, tensor)
        out = action_size if i == len(weights) - 1 else max((1, *layer[1].shape[-1:]))
        shapes = ((agents, width, out), (agents, out))
        for name, tensor, shape in zip((f"weights.{i}", f"biases.{i}"), layer, shapes, strict=True):
            if tuple(tensor.shape) != shape:
                raise OmarError(f"{name} must be {list(shape)}, got {list(tensor.shape)}")
            if not bool(tensor.isfinite().all()):
                raise OmarError(f"{name} has numbers that are not finite")
        width = out


def check_dense(name: str, tensor: Any) -> None:
    """Refuses what is not a dense float32 tensor on the CPU.

    Raises:
        OmarError: Says what it is instead.
    """
    if not isinstance(tensor, torch.Tensor):
        raise OmarError(f"{name} must be a tensor, got {type(tensor).__name__}")
    found = f"{tensor.dtype} {tensor.layout} on {tensor.device}"
    if tensor.dtype != torch.float32 or tensor.layout != torch.strided or tensor.device.type != "cpu":
        raise OmarError(
            f"{name} must be a dense float32 tensor on the CPU, got {found.replace('torch.', '')}"
        )


def _check_entries(policy: Policy, task: Task) -> None:
    """Checks all but the tensors."""
    r, prey = policy.references, policy.prey
    if r is not None and not r.usable:
        raise OmarError(f"references must be two different finite returns, got {r.random} and {r.expert}")
    if prey is not None and not task.has_prey:
        raise OmarError(f"{task.name} has no prey, but one was given")
    if prey is not None and not (isinstance(prey, Policy) and prey.moves_prey and prey.task == task.name):
        raise OmarError(f"the prey of a policy must be a policy of the prey of {task.name}")
    source: Any = policy.source
    if not isinstance(source, Mapping) or not all(isinstance(t, str) for e in source.items() for t in e):
        raise OmarError("the source of a policy must map names to text")
