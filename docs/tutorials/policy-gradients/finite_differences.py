"""Likelihood ratios against finite differences: the same rollouts, more and more parameters."""

import matplotlib.pyplot as plt
import numpy as np

rng = np.random.default_rng(0)
budget, repeats, sizes = 200, 50, [1, 2, 5, 10, 20, 50]


def rollouts(theta, n):  # step t has a parameter of its own; action 1 pays 1, with noise
    actions = rng.random((n, theta.size)) < 1 / (1 + np.exp(-theta))
    return actions, actions + rng.normal(0.0, 1.0, actions.shape)


def likelihood_ratio(theta):
    actions, rewards = rollouts(theta, budget)
    to_go = rewards[:, ::-1].cumsum(axis=1)[:, ::-1]
    return ((to_go - to_go.mean(axis=0)) * (actions - 1 / (1 + np.exp(-theta)))).mean(axis=0)


def differences(theta):
    n = budget // (2 * theta.size)
    ends = [[rollouts(theta + k * e, n)[1].sum(axis=1).mean() for k in (1, -1)] for e in np.eye(theta.size)]
    return np.array(ends) @ [0.5, -0.5]


for estimate, name in ((likelihood_ratio, "likelihood ratio"), (differences, "central differences")):
    cosines = []
    for d in sizes:
        g = np.array([estimate(np.zeros(d)) for _ in range(repeats)])  # the exact gradient is (1, …, 1)/4
        cosines.append((g.sum(axis=1) / np.sqrt(d) / np.linalg.norm(g, axis=1)).mean())
    print(f"{name:20}", ", ".join(f"d={d}: {c:.2f}" for d, c in zip(sizes, cosines, strict=True)))
    plt.semilogx(sizes, cosines, "o-", label=name)
plt.gca().set(xlabel=f"parameters, {budget} rollouts each", ylabel="cosine with the exact gradient")
plt.legend(frameon=False)
plt.savefig("finite_differences.png", dpi=80)
