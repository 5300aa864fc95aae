"""The variance of the score-function estimate grows with the horizon and with an offset of the rewards."""

import matplotlib.pyplot as plt
import numpy as np

rng = np.random.default_rng(0)
horizons, n, p = [1, 2, 5, 10, 20, 50, 100], 20_000, 0.5  # p: probability of action 1


def noise_to_signal(horizon, offset):
    """Standard deviation of one episode's estimate over the gradient, for p = 1/(1 + e^−θ)."""
    actions = rng.random((n, horizon)) < p
    returns = (actions + offset).sum(axis=1)  # action 1 pays 1, and every step pays the offset
    score = (actions - p).sum(axis=1)  # Σ_t ∇ log π(a_t)
    return (returns * score).std() / (horizon * p * (1 - p))  # the exact gradient is T p (1 − p)


for offset in (0, 1, 10):
    ratios = [noise_to_signal(horizon, offset) for horizon in horizons]
    print(
        f"offset {offset:2}: " + ", ".join(f"T={T}: {x:.1f}" for T, x in zip(horizons, ratios, strict=True))
    )
    plt.loglog(horizons, ratios, "o-", label=f"every step pays {offset} more")
plt.gca().set(xlabel="steps of an episode", ylabel="standard deviation / exact gradient")
plt.legend(frameon=False)
plt.savefig("variance.png", dpi=80)
