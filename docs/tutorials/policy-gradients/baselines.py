"""A baseline does not bias the estimate; its variance is a parabola of the baseline."""

import matplotlib.pyplot as plt
import numpy as np

p, reward = np.array([0.6, 0.3, 0.1]), np.array([10.0, 11.0, 14.0])
scores = np.eye(3) - p  # row a: ∇ log π(a) of the softmax policy
squares = (scores**2).sum(axis=1)  # ‖∇ log π(a)‖²
average = p @ reward
best = (p * squares) @ reward / (p @ squares)  # Greensmith, Bartlett & Baxter 2004


def moments(b):
    """Mean and total variance of (r − b) ∇ log π(a), exactly."""
    estimates = (reward - b)[:, None] * scores
    mean = p @ estimates
    return mean, p @ ((estimates - mean) ** 2).sum(axis=1)


for name, b in (("none", 0.0), ("average return", average), ("least variance", best)):
    print(f"{name:15} b = {b:5.2f}: mean {moments(b)[0].round(3)}, variance {moments(b)[1]:.3f}")
    plt.plot(b, moments(b)[1], "o", label=name)
grid = np.linspace(-1, 24, 200)
plt.plot(grid, [moments(b)[1] for b in grid], color="black", lw=1, zorder=0)
plt.gca().set(xlabel="baseline", ylabel="variance of one episode's estimate")
plt.legend(frameon=False)
plt.savefig("baselines.png", dpi=80)
