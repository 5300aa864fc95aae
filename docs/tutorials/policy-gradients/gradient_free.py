"""Methods without a gradient are a baseline that a policy gradient has to beat: on two tasks, the same rollouts."""

import matplotlib.pyplot as plt

import policysearch

study = {
    "tasks": ["CartPole-v1", "lqr"],
    "optimizers": ["hill-climbing", "cma-es", "ars", "reinforce"],
    "rollouts": 200,
    "runs": 3,
}
curves = policysearch.compare(study).curves
figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
for axis, (task, rows) in zip(axes, curves.groupby("task", sort=False), strict=True):
    for method, of_method in rows.groupby("optimizer", sort=False):
        mean = of_method.groupby("rollouts")["return_mean"].mean()
        axis.plot(mean.index, mean, label=method)
        print(f"{task:12} {method:14} {mean.iloc[-1]:8.2f}")
    axis.set(title=task, xlabel="rollouts", ylabel="return of the recommendation")
axes[1].set_ylim(-6, 0)
axes[0].legend(frameon=False)
figure.savefig("gradient_free.png", dpi=80)
