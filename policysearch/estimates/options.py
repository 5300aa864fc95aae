"""What can be chosen of a measurement, on the command line and in a `Request`.

Only light modules are imported here, so that `--help` answers at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from policysearch.flags import flag


@dataclass(frozen=True, kw_only=True)
class EstimateOptions:
    """The estimators, and how their estimates are made."""

    estimators: Annotated[Sequence[str], flag("NAME …", "all")] = ()
    """Names from --list."""

    rollouts: Annotated[Sequence[int], flag("N …", "10 30 100 300")] = (10, 30, 100, 300)
    """Rollouts per estimate."""

    repeats: Annotated[int, flag("M", "50")] = 50
    """Estimates of each kind."""

    discount: Annotated[float, flag("GAMMA", "1")] = 1.0
    """Discount of the return whose gradient is estimated."""

    perturbation: Annotated[float, flag("EPS", "0.02")] = 0.02
    """Size of the parameters' perturbation, for the estimators that see returns only."""

    reference: Annotated[int, flag("R", "20000")] = 20_000
    """Rollouts whose mean is the reference where there is no closed form."""

    seed: Annotated[int, flag("S", "0")] = 0
    """The same seed gives the same numbers."""
