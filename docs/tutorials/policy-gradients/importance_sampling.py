"""Importance sampling: what a new policy would return, from the episodes of an old one."""

import matplotlib.pyplot as plt
import numpy as np

rng = np.random.default_rng(0)
n, repeats, shifts = 100, 2_000, np.linspace(0.0, 3.0, 13)
a = rng.normal(0.0, 1.0, (repeats, n))  # actions of the old policy N(0, 1)
r = -((a - 1.0) ** 2)
exact = -((shifts - 1.0) ** 2 + 1.0)  # J of the new policy N(shift, 1)
ordinary, weighted, sizes = [], [], []
for shift in shifts:
    w = np.exp(shift * a - shift**2 / 2)  # π_new(a) / π_old(a)
    ordinary.append((w * r).mean(axis=1))
    weighted.append((w * r).sum(axis=1) / w.sum(axis=1))
    sizes.append((w.sum(axis=1) ** 2 / (w**2).sum(axis=1)).mean())
for i in (0, 4, 8, 12):
    found = ", ".join(f"{x[i].mean():.2f} ± {x[i].std():.2f}" for x in (ordinary, weighted))
    print(
        f"shift {shifts[i]}: exact {exact[i]:.2f}, ordinary and weighted {found}; worth {sizes[i]:.0f} episodes"
    )
for x, colour, label in ((ordinary, "tab:orange", "ordinary"), (weighted, "tab:blue", "weighted")):
    plt.fill_between(shifts, *np.percentile(x, [10, 90], axis=1), color=colour, alpha=0.4, label=label)
plt.plot(shifts, exact, color="black", label="exact")
plt.gca().set(xlabel="shift of the new policy", ylabel="estimates of its return (middle 80 %)")
plt.legend(frameon=False)
plt.savefig("importance_sampling.png", dpi=80)
