"""The gradient of the pseudo-loss is the score-function estimate, to machine precision.

    L(θ) = 1/N Σ_i Σ_t w_it log π(a_it|s_it; θ),     ∇L = 1/N Σ_i Σ_t w_it ∇ log π(a_it|s_it; θ)

with the weights held. The right side is the one of this library, by hand-written derivatives; the left side is
taken twice: from values of L alone, by central differences extrapolated to a step of 0 (Richardson 1911), and by
PyTorch's automatic differentiation of the same policy with the same parameters.
"""

import dataclasses
import importlib.util
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from claim import Claim, Measured
from jaxtyping import Float

from policysearch.core import Array, Rollout
from policysearch.gradients import baselines, score_function
from policysearch.policies import MLP, Gaussian, Linear, Softmax
from policysearch.seeding import stream

N, T, OBS, ACTIONS, HIDDEN = 10, 50, 4, 3, 16
MAPS: dict[str, Linear | MLP] = {"linear": Linear(OBS, ACTIONS), "mlp": MLP(OBS, ACTIONS, (HIDDEN,))}
POLICIES: dict[str, Gaussian | Softmax] = {
    f"{name}, {kind}": policy
    for name, mean in MAPS.items()
    for kind, policy in (("Gaussian", Gaussian(mean)), ("softmax", Softmax(mean, (ACTIONS,))))
}
STEPS = 0.02 / 2.0 ** np.arange(4)
TORCH = importlib.util.find_spec("torch") is not None
SEEDS = 10
DIFFERENCES, AUTODIFF = 1e-10, 1e-13  # relative; what counts as equal


def episodes(policy: Gaussian | Softmax, seed: int) -> list[Rollout]:
    """N episodes of random observations and rewards, actions drawn from the policy, no parameter at 0."""
    rng, found, nothing = stream("i", seed), [], np.empty((T, 0))
    theta = policy.start(rng) + 0.3 * rng.standard_normal(policy.num_params)
    for _ in range(N):
        obs = rng.standard_normal((T + 1, OBS))
        actions, _ = policy.sample(np.tile(theta, (T, 1)), obs[:-1], nothing, policy.noise(rng, T))
        found.append(Rollout(policy, theta, obs[:-1], actions, rng.standard_normal(T), obs[-1], True, False))
    return found


def by_differences(rollouts: Sequence[Rollout], w: Sequence[Array]) -> Float[Array, "d"]:
    """∇L from values of L: differences with errors in h², h⁴, … that are removed one after the other."""

    def difference(h: float, e: Array) -> float:
        ends = [score_function.pseudo_loss(rollouts, w, rollouts[0].params + s * h * e) for s in (1, -1)]
        return (ends[0] - ends[1]) / (2 * h)

    row = [np.array([difference(h, e) for e in np.eye(rollouts[0].params.size)]) for h in STEPS]
    for order in range(1, len(row)):
        row = [(4**order * fine - coarse) / (4**order - 1) for coarse, fine in pairwise(row)]
    return row[0]


def by_torch(kind: str, rollouts: Sequence[Rollout], w: Sequence[Array]) -> Float[Array, "d"]:
    """∇L by automatic differentiation; a module's parameters come in the same order as ours."""
    from torch import nn  # noqa: PLC0415 - an extra

    from policysearch.policies.torch_policy import TorchPolicy  # noqa: PLC0415

    layers = [nn.Linear(OBS, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, ACTIONS)]
    module = nn.Sequential(*layers) if kind.startswith("mlp") else nn.Linear(OBS, ACTIONS)
    gaussian = kind.endswith("Gaussian")
    policy = (
        TorchPolicy(module, OBS, action_size=ACTIONS)
        if gaussian
        else TorchPolicy(module, OBS, choices=(ACTIONS,))
    )
    return score_function.gradient([dataclasses.replace(r, policy=policy) for r in rollouts], w)


def measure() -> Claim:
    """It holds if all relative differences are below what rounding explains: DIFFERENCES and AUTODIFF."""
    rows = []
    for kind, policy in POLICIES.items():
        for seed in range(SEEDS):
            rollouts = episodes(policy, seed)
            w = baselines.weights(rollouts, discount=0.99, baseline="step")
            g = score_function.gradient(rollouts, w)
            row = {
                "policy": kind,
                "seed": seed,
                "parameters": policy.num_params,
                "gradient": float(np.linalg.norm(g)),
            }
            others = {"differences": by_differences(rollouts, w)} | (
                {"autodiff": by_torch(kind, rollouts, w)} if TORCH else {}
            )
            rows.append(row | {k: float(np.abs(x - g).max() / np.abs(g).max()) for k, x in others.items()})
    table, limits = pd.DataFrame(rows), {"differences": DIFFERENCES, "autodiff": AUTODIFF}
    worst = {name: float(table[name].max()) for name in limits if name in table}
    measured = []
    for name in worst:
        for kind in POLICIES:
            value = float(table.loc[table["policy"] == kind, name].max())
            what = f"largest relative difference to {name}: {kind}"
            measured.append(Measured(what, value, value, value, f"rounding, below {limits[name]:g}"))
    holds = all(value < limits[name] for name, value in worst.items())
    said = " and ".join(f"{value:.1g} from {name}" for name, value in worst.items())
    return Claim(
        claim="The gradient of the pseudo-loss is the score-function estimate",
        verdict=f"{'holds' if holds else 'does not hold'}: the largest relative difference is {said}"
        + ("" if TORCH else "; the comparison with PyTorch was skipped, for it is not installed"),
        measured=measured,
        setting=f"{SEEDS} draws of parameters, and of {N} episodes of {T} steps with random observations and "
        f"rewards, for each of four policies ({min(table['parameters'])} to {max(table['parameters'])} parameters); "
        "reward-to-go, discount 0.99, average per step. A difference is that of the component that differs most, "
        "over the largest component.",
        table=table,
        remarks=[
            "Differences cannot be as near: a value of L is rounded at 1e-16 of the terms it is summed from, and a "
            f"step of {STEPS[-1]:g} makes that some hundred times larger. Automatic differentiation has no step.",
            "The weights are held: whatever is in them, a return, a baseline, a ratio of probabilities, must not be "
            "differentiated through. Frameworks call it detached.",
        ],
    )
