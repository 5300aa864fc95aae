"""CMA-ES with a diagonal covariance matrix (sep-CMA-ES), for many parameters; through the `cma` package.

Source: Ros & Hansen 2008, "A simple modification in CMA-ES achieving linear time and space complexity". C is
diagonal, and its learning rates are (d + 2)/3 times those of CMA-ES, as it has fewer numbers to learn (`cma`'s option
`CMA_diagonal`). All else is that of `cma-es`.

Defaults: those of `cma-es`.

Invariant to: constants added to returns, monotone transformations of returns; after adaptation, the units of
each parameter. Rotation of the parameters matters.

When to use it: with more than about 100 parameters. At d = 1,000 a generation of 24 candidates takes 2 ms, for which
`cma-es` needs a matrix of a million numbers and its eigenvectors.
When not: with few parameters that depend on each other, which is what the full matrix learns.
"""

from dataclasses import dataclass
from typing import ClassVar

from policysearch.optimizers.cma_es import CMAES


@dataclass(frozen=True)
class SeparableCMAES(CMAES):
    """CMA-ES that learns a scale for each parameter, and no correlations."""

    revision: ClassVar[int] = 1
    diagonal: ClassVar[bool] = True

    def memory(self, d: int, o: int) -> int:
        """Bytes of the candidates, the scales and the paths."""
        return 8 * d * 100
