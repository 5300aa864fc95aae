"""The natural gradient does not depend on how a policy is written down; the plain gradient does."""

import matplotlib.pyplot as plt
import numpy as np

# Policy a ~ N(m, s²), reward −a²: J = −m² − s². Fisher matrix of (m, s): diag(1/s², 2/s²).
SCALES = {"s": 1.0, "s / 3": 3.0, "3 s": 1 / 3}  # the second parameter is q, and s = scale · q


def path(scale, *, natural):
    """Points (m, s) of gradient ascent in the parameters (m, q)."""
    m, q, points = 2.0, 1.0 / scale, []
    for _ in range(400):
        s = scale * q
        points.append((m, s))
        step = np.array([-2 * m, -2 * s * scale])  # the gradient in (m, q)
        if natural:
            step /= [1 / s**2, 2 * scale**2 / s**2]  # its Fisher matrix
        m, q = m + 0.005 * step[0], q + 0.005 * step[1]
    return np.transpose(points)


for natural, line in ((False, "-"), (True, "--")):
    for i, (name, scale) in enumerate(SCALES.items()):
        m, s = path(scale, natural=natural)
        label = f"{'natural' if natural else 'plain'}, q = {name}"
        print(f"{label:18} s is {np.interp(-1.0, -m, s):.3f} where m is 1, and {s[-1]:.3f} at the end")
        plt.plot(m, s, line, lw=4 - i, label=label)
plt.gca().set(xlabel="mean m", ylabel="standard deviation s", ylim=(0, 1.5))
plt.legend(frameon=False, ncols=2)
plt.savefig("natural_gradient.png", dpi=80)
