"""Reward-to-go: an action is credited only with the rewards that come after it."""

import matplotlib.pyplot as plt
import numpy as np

rng = np.random.default_rng(0)
horizons, n, p, variances = [2, 5, 10, 20, 50, 100], 20_000, 0.5, []
for T in horizons:
    actions = rng.random((n, T)) < p
    rewards = actions + rng.normal(0.0, 1.0, (n, T))  # action 1 pays 1, with noise
    scores = actions - p
    to_go = rewards[:, ::-1].cumsum(axis=1)[:, ::-1]  # G_t = r_t + r_{t+1} + …
    whole = (rewards.sum(axis=1, keepdims=True) * scores).sum(axis=1)
    causal = (to_go * scores).sum(axis=1)
    centred = ((to_go - to_go.mean(axis=0)) * scores).sum(axis=1)  # with an average per step as baseline
    variances.append([x.var() for x in (whole, causal, centred)])
    means = [f"{x.mean():.2f}" for x in (whole, causal, centred)]
    print(
        f"T={T:3}: exact {T * p * (1 - p):5.2f}, means {', '.join(means)}, variances {np.round(variances[-1], 1)}"
    )
for label, line in zip(
    ("whole return", "reward-to-go", "and a baseline"), np.transpose(variances), strict=True
):
    plt.loglog(horizons, line, "o-", label=label)
plt.gca().set(xlabel="steps of an episode", ylabel="variance of one episode's estimate")
plt.legend(frameon=False)
plt.savefig("reward_to_go.png", dpi=80)
