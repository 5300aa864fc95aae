"""Any PyTorch module as a policy: bring a network, its scores come by automatic differentiation.

    Σ_t w_t ∇ log π(a_t|s_t; θ) = ∇_θ Σ_t w_t log π(a_t|s_t; θ):   a backward pass
    ∇ log π(a_t|s_t; θ)·v       = ∂/∂w_t of that, along v:         a second one, through the first

Parameters: those of the module that are to be trained (`requires_grad`), in its own order, then, for a
Gaussian, its log standard deviations ℓ. The module is copied, in float64 and in `eval` mode; what else it
holds (buffers, frozen parameters) is the same at the beginning of every call, so that the policy is a pure
map. Acting takes one row at a time, in one thread: the bits of a product of matrices depend on their size.

A module maps observations (T, o) to outputs (T, l), row by row. With a `hidden_size` h it is recurrent: it
maps observations (T, o), in their order, and a hidden state (h,) to outputs (T, l) and the next hidden state.
An episode begins with zeros; `log_prob`, `score`, `score_along` and `kl` then take the observations of one
whole episode, from its first step on (without `final_obs`, on which no action was taken).
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Policy
from policysearch.policies.heads import Head, largest, log_stds

try:
    import torch
    from torch import Tensor, nn
    from torch.distributions import Categorical, Distribution, Normal, kl_divergence
    from torch.func import functional_call
except ImportError as error:
    raise ImportError(
        "a policy from a torch module needs PyTorch: pip install 'policysearch[torch]'"
    ) from error


@dataclass(frozen=True, eq=False)
class TorchMap:
    """A module as a deterministic policy: its outputs are the action.

    Raises:
        ValueError: for a module without parameters to train, with parameters that are not finite, or whose
            outputs have another size, ignore the parameters, or depend on more than their own observation
            (and the hidden state before it).
    """

    module: nn.Module  # becomes a copy
    obs_size: int
    action_size: int
    hidden_size: int = 0

    def __post_init__(self) -> None:
        module = copy.deepcopy(self.module).to(device="cpu", dtype=torch.float64).eval()
        object.__setattr__(self, "module", module)
        for name, value in module.named_parameters():
            if not torch.isfinite(value).all():
                raise ValueError(f"module: expected finite parameters, got NaN or infinity in {name}")
        if not self._shapes:
            raise ValueError(f"module: expected parameters to train, got none in {module}")
        with torch.random.fork_rng(devices=[]), _one_thread(), torch.enable_grad():
            self._try_out()

    def _try_out(self) -> None:
        """Check the outputs for three observations, taken together and one after the other."""
        theta = _tensor(self._flat(self.module)).requires_grad_()
        obs = _tensor(np.linspace(-1, 1, 3 * self.obs_size).reshape(3, self.obs_size))
        hidden = _tensor(np.zeros(self.hidden_size))
        expected, rows = [(3, self.action_size), (self.hidden_size,)], []
        try:
            outputs, after = self.call(theta, obs, hidden)
            got: object = [tuple(outputs.shape), tuple(after.shape)]
            for row in obs.split(1):
                output, hidden = self.call(theta, row, hidden)
                rows.append(output)
        except Exception as error:  # the user's module may raise anything
            got = f"{type(error).__name__}: {error}"
        if got != expected:
            raise ValueError(
                f"module: expected outputs and hidden state of shapes {expected} for three observations of "
                f"{self.obs_size} numbers, got {got}"
            )
        if not outputs.requires_grad:
            raise ValueError("module: expected outputs that depend on its parameters, got constants")
        if not torch.allclose(outputs, torch.cat(rows), rtol=1e-6, atol=1e-9, equal_nan=True):
            raise ValueError(
                "module: expected the same outputs for observations taken together and one by one, got others; "
                "does it draw random numbers, or use the statistics of a batch?"
            )

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the parameters to train."""
        parameters = self.module.named_parameters()
        return {name: tuple(value.shape) for name, value in parameters if value.requires_grad}

    @cached_property
    def _constants(self) -> dict[str, Tensor]:
        held = dict(self.module.named_parameters()) | dict(self.module.named_buffers())
        return {name: value.detach() for name, value in held.items() if name not in self._shapes}

    def _flat(self, module: nn.Module) -> Float[Array, "d"]:
        values = dict(module.named_parameters())
        return np.concatenate([values[name].detach().numpy().ravel() for name in self._shapes])

    @cached_property
    def _sizes(self) -> list[int]:
        return [int(np.prod(shape)) for shape in self._shapes.values()]

    @property
    def num_params(self) -> int:
        """Entries of all parameters to train."""
        return sum(self._sizes)

    @property
    def state_size(self) -> int:
        """That of the hidden state."""
        return self.hidden_size

    @property
    def param_names(self) -> tuple[str, ...]:
        """The module's names with indices, such as `0.weight[1,2]`."""
        entries = ((name, index) for name, shape in self._shapes.items() for index in np.ndindex(*shape))
        return tuple(f"{name}[{','.join(map(str, index))}]" if index else name for name, index in entries)

    def start(self, rng: np.random.Generator) -> Float[Array, "d"]:
        """What `reset_parameters` of each submodule draws; the module's own values where it has no such method."""
        fresh = copy.deepcopy(self.module)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(rng.integers(2**63)))
            fresh.apply(lambda part: getattr(part, "reset_parameters", tuple)())  # children first
        return self._flat(fresh)

    def call(
        self, theta: Float[Tensor, "d"], obs: Float[Tensor, "T o"], hidden: Float[Tensor, "h"]
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """The module's outputs, and the hidden state after them, at the parameters `theta`."""
        if obs.shape[1] != self.obs_size:
            raise ValueError(f"obs: expected {self.obs_size} numbers per step, got {obs.shape[1]}")
        parts = zip(self._shapes.items(), theta.split(self._sizes), strict=True)
        values = {name: part.view(shape) for (name, shape), part in parts}
        values |= {name: value.clone() for name, value in self._constants.items()}
        if not self.hidden_size:
            return functional_call(self.module, values, (obs,)).double(), hidden
        outputs, after = functional_call(self.module, values, (obs, hidden))
        return outputs.double(), after.double()

    def act(
        self, params: Float[Array, "m d"], obs: Float[Array, "m o"], state: Float[Array, "m h"]
    ) -> tuple[Float[Array, "m a"], Float[Array, "m h"]]:
        """The module's outputs, row by row."""
        outputs, after = np.empty((len(obs), self.action_size)), np.empty((len(obs), self.hidden_size))
        with _one_thread(), torch.no_grad():
            for i in range(len(obs)):  # all tensors are new ones, so that even their alignment is the same
                output, hidden = self.call(_tensor(params[i]), _tensor(obs[i : i + 1]), _tensor(state[i]))
                outputs[i], after[i] = output[0].numpy(), hidden.numpy()
        return outputs, after


@dataclass(frozen=True, eq=False)
class TorchPolicy(Head):
    """A module whose outputs are the logits of discrete actions, or the mean of a Gaussian.

    With `choices=(2, 3)` the outputs are logits, a block for each of two independent actions; the mode takes
    the largest, the first of equals. With `action_size=2` they are the mean of two normal numbers, whose log
    standard deviations ℓ are the last two parameters.

    Raises:
        ValueError: for both or neither of `choices` and `action_size`, and as `TorchMap`.
    """

    module: nn.Module  # becomes a copy
    obs_size: int
    _: KW_ONLY
    choices: tuple[int, ...] = ()
    action_size: int = 0
    initial_std: float = 0.5  # in units of the action
    hidden_size: int = 0
    outputs: TorchMap = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if bool(self.choices) == bool(self.action_size) or min((self.action_size, *self.choices)) < 0:
            raise ValueError(
                "expected either choices (alternatives of each discrete action) or action_size (numbers of a "
                f"Gaussian action), got choices={self.choices}, action_size={self.action_size}"
            )
        log_stds(self.initial_std, 0)
        outputs = TorchMap(
            self.module, self.obs_size, self.action_size or sum(self.choices), self.hidden_size
        )
        object.__setattr__(self, "outputs", outputs)
        object.__setattr__(self, "module", outputs.module)

    @property
    def body(self) -> TorchMap:
        """The module."""
        return self.outputs

    @property
    def initial_log_std(self) -> Float[Array, "a"]:
        """One ℓ per Gaussian action."""
        return log_stds(self.initial_std, self.action_size)

    @property
    def mode(self) -> Policy:
        """The policy itself if its actions are discrete, else the mean without ℓ."""
        return self if self.choices else self.outputs

    def act(
        self, params: Float[Array, "m d"], obs: Float[Array, "m o"], state: Float[Array, "m h"]
    ) -> tuple[Float[Array, "m a"], Float[Array, "m h"]]:
        """The index of the largest logit of each action, or the mean."""
        outputs, after = self.outputs.act(self._split(params)[0], obs, state)
        if not self.choices:
            return outputs, after
        return largest(outputs, self.choices), after

    def noise(self, rng: np.random.Generator, steps: int) -> Float[Array, "steps z"]:
        """One number per action: uniform if it is discrete, else standard normal."""
        if self.choices:
            return rng.random((steps, len(self.choices)))
        return rng.standard_normal((steps, self.action_size))

    def sample(
        self,
        params: Float[Array, "m d"],
        obs: Float[Array, "m o"],
        state: Float[Array, "m h"],
        noise: Float[Array, "m z"],
    ) -> tuple[Float[Array, "m a"], Float[Array, "m h"]]:
        """The alternative in whose slice of the cumulative distribution the noise falls, or μ + σ·noise."""
        theta, log_std = self._split(params)
        outputs, after = self.outputs.act(theta, obs, state)
        if not self.choices:
            return outputs + np.exp(log_std) * noise, after
        actions = np.full((len(obs), len(self.choices)), np.nan)
        for row in np.flatnonzero(np.isfinite(outputs).all(axis=1)).tolist():
            edges = accumulate(self.choices, initial=0)
            for i, (begin, end) in enumerate(pairwise(edges)):
                logits = outputs[row, begin:end]
                cumulative = np.cumsum(np.exp(logits - logits.max()))
                actions[row, i] = (noise[row, i] * cumulative[-1] >= cumulative[:-1]).sum()
        return actions, after

    def _distributions(self, theta: Float[Tensor, "d"], obs: Float[Tensor, "T o"]) -> list[Distribution]:
        """π(· | s_t; θ) for all steps, of each action."""
        size, hidden = self.outputs.num_params, _tensor(np.zeros(self.hidden_size))
        outputs, _ = self.outputs.call(theta[:size], obs, hidden)
        if self.choices:
            return [Categorical(logits=y, validate_args=False) for y in outputs.split(self.choices, dim=1)]
        means, stds = outputs.unbind(dim=1), theta[size:].exp()
        return [Normal(mean, std, validate_args=False) for mean, std in zip(means, stds, strict=True)]

    def _log_prob(
        self, theta: Float[Tensor, "d"], obs: Float[Array, "T o"], actions: Float[Array, "T a"]
    ) -> Float[Tensor, "T"]:
        columns = _tensor(actions).unbind(dim=1)
        pairs = zip(self._distributions(theta, _tensor(obs)), columns, strict=True)
        return torch.stack([distribution.log_prob(action) for distribution, action in pairs]).sum(dim=0)

    def log_prob(
        self, params: Float[Array, "d"], obs: Float[Array, "T o"], actions: Float[Array, "T a"]
    ) -> Float[Array, "T"]:
        """log π(a_t | s_t; θ), summed over the actions."""
        with _one_thread(), torch.no_grad():
            return np.asarray(self._log_prob(_tensor(params), obs, actions).numpy())

    def score(
        self,
        params: Float[Array, "d"],
        obs: Float[Array, "T o"],
        actions: Float[Array, "T a"],
        weights: Float[Array, "T"],
    ) -> Float[Array, "d"]:
        """Σ_t weights_t ∇ log π(a_t | s_t; θ)."""
        with _one_thread(), torch.enable_grad():
            theta = _tensor(params).requires_grad_()
            log_prob = self._log_prob(theta, obs, actions)
            return np.asarray(torch.autograd.grad(log_prob, theta, _tensor(weights))[0].numpy())

    def score_along(
        self,
        params: Float[Array, "d"],
        obs: Float[Array, "T o"],
        actions: Float[Array, "T a"],
        direction: Float[Array, "d"],
    ) -> Float[Array, "T"]:
        """∇ log π(a_t | s_t; θ) · direction."""
        with _one_thread(), torch.enable_grad():
            theta, weights = _tensor(params).requires_grad_(), _tensor(np.zeros(len(obs))).requires_grad_()
            log_prob = self._log_prob(theta, obs, actions)
            (score,) = torch.autograd.grad(log_prob, theta, weights, create_graph=True)
            return np.asarray(torch.autograd.grad(score, weights, _tensor(direction))[0].numpy())

    def kl(
        self, old: Float[Array, "d"], new: Float[Array, "d"], obs: Float[Array, "T o"]
    ) -> Float[Array, "T"]:
        """KL(π(· | s_t; old) ‖ π(· | s_t; new)), summed over the actions."""
        with _one_thread(), torch.no_grad():
            p, q = (self._distributions(_tensor(params), _tensor(obs)) for params in (old, new))
            parts = [kl_divergence(*pair) for pair in zip(p, q, strict=True)]
            return np.asarray(torch.stack(parts).sum(dim=0).numpy())


def _tensor(values: Float[Array, "..."]) -> Tensor:
    """A new tensor."""
    return torch.tensor(np.ascontiguousarray(values, dtype=float), device="cpu")


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
