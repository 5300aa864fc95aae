"""The first distribution of a search that knows earlier tries, `Domain.known`.

Source: Nomura, Watanabe, Akimoto, Ozaki & Onishi 2021, "Warm starting CMA-ES for hyperparameter optimization",
section 3.2: the moments of a mixture of Gaussians of standard deviation α around the best share γ of the tries,

    m = mean of these points,   s_j² = α² + their variance in coordinate j,   γ = α = 0.1

Here the covariance is diagonal, and no s_j is larger than the method's own first σ, so that tries that are far from
each other never make the first step wider than it is without them.
"""

import numpy as np
from jaxtyping import Float

from policysearch.core import Array, Domain

SHARE, ALPHA = 0.1, 0.1


def first_gaussian(domain: Domain, sigma: float) -> tuple[Float[Array, "d"], Float[Array, "d"]]:
    """Mean and standard deviations with which to begin; start and `sigma` where no try is known that succeeded."""
    known = domain.known
    sound = np.empty(0) if known is None else np.flatnonzero(np.isfinite(known.returns).all(axis=1))
    if known is None or not sound.size:
        return domain.start, np.full_like(domain.start, sigma)
    best = sound[np.argsort(-known.fitness[sound], kind="stable")][: int(np.ceil(SHARE * sound.size))]
    points = known.params[best]
    return points.mean(axis=0), np.minimum(np.sqrt(ALPHA**2 + points.var(axis=0)), sigma)
