"""Without memory or sight, a coin can be better than any rule: five cells, the goal in the middle."""

import matplotlib.pyplot as plt
import numpy as np

rng = np.random.default_rng(0)


def success(p):  # probability to reach the middle from either end within 20 steps, each to the right with p
    P = np.diag([1 - p, 0, 1, 0, p]) + np.diag([p, p, 0, p], 1) + np.diag([1 - p, 0, 1 - p, 1 - p], -1)
    return np.linalg.matrix_power(P, 20)[[0, 4], 2].mean()


def reinforce(theta):
    for _ in range(200):
        p, cell, score = 1 / (1 + np.exp(-theta)), rng.choice([0, 4], 500), np.zeros(500)
        for _ in range(20):
            right = rng.random(500) < p
            score += (cell != 2) * (right - p)  # ∇ log π of the steps before the goal
            cell = np.where(cell == 2, 2, np.clip(cell + 2 * right - 1, 0, 4))
        theta += 2.0 * (((cell == 2) - 0.5) * score).mean()
    return 1 / (1 + np.exp(-theta))


print(f"always left {success(0.0):.2f}, always right {success(1.0):.2f}, a coin {success(0.5):.2f}")
plt.plot(*np.transpose([(p, success(p)) for p in np.linspace(0, 1, 101)]), color="black")
for theta in (-2.0, 2.0):
    start, end = 1 / (1 + np.exp(-theta)), reinforce(theta)
    print(f"REINFORCE from p = {start:.2f} ends at p = {end:.2f}, J = {success(end):.2f}")
    plt.plot([start, end], [success(start), success(end)], "o:", label=f"REINFORCE from {start:.2f}")
plt.gca().set(xlabel="probability to go right", ylabel="probability to reach the goal")
plt.legend(frameon=False)
plt.savefig("stochastic_policies.png", dpi=80)
