"""Adam (Kingma & Ba 2015, algorithm 1), as a step uphill.

The source's ε = 10⁻⁸ is in the unit of the gradient: gradients far below it hardly make a step. Where their unit is
that of the returns, ε counts in units of the first gradient that is not zero.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from policysearch.core import Array


@dataclass
class Adam:
    """Running moments of the gradient, and the step they give. One object per search."""

    learning_rate: float
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    unit: float = 1.0  # of epsilon; 0: the length of the first gradient that is not zero
    m: Array = field(default_factory=lambda: np.zeros(1), init=False)
    v: Array = field(default_factory=lambda: np.zeros(1), init=False)
    t: int = field(default=0, init=False)

    def step(self, gradient: Float[Array, "d"]) -> Float[Array, "d"]:
        """The change of the parameters for this gradient; none if it, or its square, is not finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.isfinite(gradient @ gradient):
                return np.zeros_like(gradient)
        self.t += 1
        self.unit = self.unit or float(np.linalg.norm(gradient))
        self.m = self.beta_1 * self.m + (1 - self.beta_1) * gradient
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * gradient**2
        m_hat = self.m / (1 - self.beta_1**self.t)
        v_hat = self.v / (1 - self.beta_2**self.t)
        return np.asarray(self.learning_rate * m_hat / (np.sqrt(v_hat) + self.epsilon * (self.unit or 1.0)))
