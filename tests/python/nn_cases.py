"""Stacks, inputs and slow oracles that the tests of networks share."""

import numpy as np
import torch

from omar.nets import StackedMlp, candidate_values, cql_penalty, normal_candidates


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).to(dtype)


def one_by_one(mlp, x):
    """Each member as plain matrix products."""
    outputs = []
    for m in range(mlp.members):
        y = x[m]
        for i, (w, b) in enumerate(zip(mlp.weights, mlp.biases, strict=True)):
            y = y @ w[m] + b[m]
            if i < len(mlp.norm_scales):
                scale, shift = mlp.norm_scales[i][m], mlp.norm_shifts[i][m]
                y = torch.nn.functional.layer_norm(y, scale.shape, scale, shift)
            y = torch.relu(y) if i + 1 < len(mlp.weights) else y
        outputs.append(y)
    return torch.stack(outputs)


def candidates_one_by_one(mlp, obs, actions):
    members, _, samples, _ = actions.shape
    x = torch.cat([obs[:, :, None].expand(-1, -1, samples, -1), actions], -1)
    x = x.repeat(mlp.members // members, 1, 1, 1)
    return one_by_one(mlp, x)[..., 0].view(-1, *actions.shape[:3])


class Candidate(torch.nn.Module):
    """A function of the critic as a module, so that gradcheck can vary its parameters."""

    def __init__(self, critic, function):
        super().__init__()
        self.critic, self.function = critic, function

    def forward(self, *inputs):
        return self.function(self.critic, *inputs)


def gradcheck(critic, function, *inputs):
    module = Candidate(critic, function)
    names = [name for name, _ in module.named_parameters()]

    def run(*arguments):
        given = dict(zip(names, arguments[len(inputs) :], strict=True))
        return torch.func.functional_call(module, given, arguments[: len(inputs)])

    parameters = [p.detach().clone().requires_grad_() for p in module.parameters()]
    return torch.autograd.gradcheck(run, (*inputs, *parameters))


SHAPES = [  # sizes, samples, batch, action size: exact panels, ragged ones, several blocks, a single row
    ((20, 64, 64, 1), 10, 150, 2),
    ((9, 256, 256, 1), 20, 33, 3),
    ((7, 30, 19, 1), 7, 13, 2),
    ((7, 5, 33, 1), 1, 100, 1),
    ((25, 8, 40, 1), 3, 5, 5),
    ((6, 16, 16, 1), 130, 3, 2),
    ((6, 16, 16, 1), 1, 1, 2),
]

DEEP = [  # one, three and four hidden layers of different widths
    ((20, 64, 1), 10, 150, 2),
    ((7, 21, 1), 3, 40, 2),
    ((20, 64, 40, 72, 1), 10, 150, 2),
    ((9, 136, 64, 8, 1), 20, 33, 3),
    ((7, 30, 19, 5, 33, 1), 7, 13, 5),
]


def normed(critic, seed=5):
    """The same critic, but with layer norms that learned something."""
    with torch.no_grad():
        for i, (scale, shift) in enumerate(zip(critic.norm_scales, critic.norm_shifts, strict=True)):
            scale.add_(0.3 * normal(*scale.shape, seed=seed + i, dtype=scale.dtype))
            shift.add_(0.3 * normal(*shift.shape, seed=seed + 9 + i, dtype=shift.dtype))
    return critic


def case(shape, dtype=torch.float32, layer_norm=False):
    sizes, samples, batch, action_size = shape
    critic = normed(StackedMlp(4, sizes, seed=2, dtype=dtype, layer_norm=layer_norm))
    obs = normal(2, batch, sizes[0] - action_size, dtype=dtype)
    actions = torch.tanh(normal(2, batch, samples, action_size, seed=1, dtype=dtype))
    return critic, obs, actions


def everything(critic, obs, actions, kernels, precision="float32"):
    """Values, penalty and all gradients."""
    obs, actions = obs.clone().requires_grad_(), actions.clone().requires_grad_()
    q = candidate_values(critic, obs, actions, kernels=kernels, precision=precision)
    upstream = normal(*q.shape, seed=3, dtype=q.dtype)
    gradients = torch.autograd.grad((q * upstream).sum(), [obs, actions, *critic.parameters()])
    mean = actions.detach()[:, :, 0]
    others = [normal_candidates(mean, 0.2, 4, seed=1, step=2)]
    penalty = cql_penalty(
        critic,
        obs.detach(),
        q.detach()[..., 0],
        seed=1,
        step=2,
        samples=6,
        others=others,
        kernels=kernels,
        precision=precision,
    )
    weights = torch.arange(1.0, 5.0, dtype=q.dtype).view(2, 2)
    more = torch.autograd.grad((penalty * weights).sum(), list(critic.parameters()))
    return [q.detach(), penalty.detach(), *gradients, *more]


def stack_of(critic, members, count):
    """The networks of the first `count` of `members` members, with the same weights."""
    twins = critic.members // members
    index = [t * members + m for t in range(twins) for m in range(count)]
    dtype, layer_norm = critic.weights[0].dtype, bool(critic.norm_scales)
    part = StackedMlp(len(index), critic.sizes, dtype=dtype, layer_norm=layer_norm)
    with torch.no_grad():
        for ours, theirs in zip(part.parameters(), critic.parameters(), strict=True):
            ours.copy_(theirs[index])
    return part


def bfloat16(x):
    return x.to(torch.float32).to(torch.bfloat16).to(x.dtype)


ERROR = 2e-7
"""Of a float32 sum, relative to the sum of its terms' sizes."""


def hangs_on_the_last_bit(x, error):
    """Rows [..., n] with a number that a change by `error` [..., n] rounds to another bfloat16."""
    step = 2.0 ** (torch.frexp(x).exponent - 8)
    return ((x != 0) & ((x - bfloat16(x)).abs() >= step / 2 - error)).any(-1)


def centred(x):
    return x - x.mean(-1, keepdim=True)


class RoundedCritic:
    """One network in float64 whose hidden products round their operands to bfloat16; gradients by hand.

    With layer norm, weights and biases lose their mean over the units first; what is left to do is to divide
    by the root mean square of the sums.
    """

    def __init__(self, critic, network):
        self.weights = [w[network].detach().double() for w in critic.weights]
        self.biases = [b[network].detach().double() for b in critic.biases]
        self.scales = [p[network].detach().double() for p in critic.norm_scales]
        self.shifts = [p[network].detach().double() for p in critic.norm_shifts]
        self.last = len(self.weights) - 2  # hidden layer
        if self.scales:
            hidden = slice(0, self.last + 1)
            self.weights[hidden] = [centred(w.float()).double() for w in self.weights[hidden]]
            self.biases[hidden] = [centred(b.float()).double() for b in self.biases[hidden]]

    def forward(self, x):
        """Values [rows] of inputs [rows, in]; keeps what backward needs.

        `sensitive`: rows in which a float32 sum in another order may round an operand the other way, or
        put a hidden unit on the other side of zero.
        """
        self.x, self.hidden, self.normed, self.inverse = x.double(), [], [], []
        y = self.x
        self.sensitive = torch.zeros(len(x), dtype=torch.bool)
        for i in range(self.last + 1):
            a, b = (y, self.weights[i]) if i == 0 else (bfloat16(y), bfloat16(self.weights[i]))
            z = a @ b + self.biases[i]
            error = ERROR * (a.abs() @ b.abs() + self.biases[i].abs())
            if self.scales:
                inverse = (z.square().mean(-1, keepdim=True) + 1e-5).rsqrt()
                self.normed.append(z * inverse)
                self.inverse.append(inverse)
                z = self.normed[i] * self.scales[i] + self.shifts[i]
                error = error * inverse * self.scales[i].abs() + ERROR * z.abs()
            self.sensitive |= (z.abs() < error).any(-1)
            y = torch.relu(z)
            if i < self.last:
                self.sensitive |= hangs_on_the_last_bit(y, error)
            self.hidden.append(y)
        return (y @ self.weights[-1] + self.biases[-1])[:, 0]

    def backward(self, dq):
        """Gradients of inputs and, layer by layer, of weights, biases, scales and shifts.

        Args:
            dq: upstream gradients [rows].
        """
        dq = dq.double()[:, None]
        weights, biases, scales, shifts = [self.hidden[-1].T @ dq], [dq.sum(0)], [], []
        dy = dq @ self.weights[-1].T
        error = ERROR * dy.abs()
        for i in range(self.last, -1, -1):
            dz = dy * (self.hidden[i] > 0)
            if self.scales:
                normed, inverse = self.normed[i], self.inverse[i]
                scales.insert(0, (dz * normed).sum(0))
                shifts.insert(0, dz.sum(0))
                g = dz * self.scales[i]
                dz = inverse * (g - normed * (g * normed).mean(-1, keepdim=True))
                error = error * inverse * self.scales[i].abs() + ERROR * dz.abs()
            biases.insert(0, dz.sum(0))
            if i == 0:
                weights.insert(0, self.x.T @ dz)
                break
            self.sensitive |= hangs_on_the_last_bit(dz, error)
            x, d, weight = bfloat16(self.hidden[i - 1]), bfloat16(dz), bfloat16(self.weights[i])
            weights.insert(0, x.T @ d)
            dy = d @ weight.T
            error = ERROR * (d.abs() @ weight.T.abs())
        if self.scales:
            weights[:-1], biases[:-1] = map(centred, weights[:-1]), map(centred, biases[:-1])
        return dz @ self.weights[0].T, [*weights, *biases, *scales, *shifts]
