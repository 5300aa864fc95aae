"""The score function estimates a gradient from actions and rewards alone."""

import matplotlib.pyplot as plt
import numpy as np

rng = np.random.default_rng(0)
reward = np.array([1.0, 2.0, 4.0])  # of each action; the estimate never differentiates it
theta = np.array([0.5, 0.0, -0.5])
p = np.exp(theta) / np.exp(theta).sum()  # the softmax policy
exact = p * (reward - p @ reward)  # ∇ of J = Σ_a p_a r_a, by hand
numbers, errors = [10, 100, 1_000, 10_000, 100_000], []
for n in numbers:
    actions = rng.choice(3, size=(20, n), p=p)  # 20 estimates from n episodes each
    scores = np.eye(3)[actions] - p  # ∇ log π(a)
    estimates = (reward[actions][..., None] * scores).mean(axis=1)
    errors.append(np.linalg.norm(estimates - exact, axis=1).mean())
    print(f"{n:7} episodes: error {errors[-1]:.4f}, first estimate {estimates[0].round(3)}")
print(f"          exact: {exact.round(3)}")
plt.loglog(numbers, errors, "o-", label="mean error of an estimate")
plt.loglog(numbers, errors[0] * np.sqrt(10 / np.array(numbers)), ":", color="black", label="∝ 1/√n")
plt.xlabel("episodes")
plt.legend(frameon=False)
plt.savefig("score_function.png", dpi=80)
