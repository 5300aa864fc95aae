"""Gradient-free search suffers from many parameters: what do they cost it, and a policy gradient?

On the chain with a horizon of 40 steps, through 5 to 40 cells with two parameters each, all of which are visited. How
searches are tuned and compared is described in chain_search.py.

Expected at θ = 0, for a rollout: ‖∇J‖ falls with 1/√d, as each cell is visited less often, while the noise of the
score function, that of the rewards to go, stays; so q = −½. A perturbation is of all d parameters at once. Its
noise, where the others' perturbations are most of what moves the return, is √d times the signal: q = −½ too. Where
the luck of actions and rewards is most of it, it stays as large while ‖∇J‖ falls, so that q = −1. Rollouts go with
the square of the noise: p = −2q.
"""

from chain_search import DISCOUNTS, LIMIT, METHODS, POINT, RIVALS, RUNS, SHORT, TARGET, TUNING_RUNS, sweep
from claim import Claim

from policysearch.reporting.figures import figure_of

HORIZON, CELLS = 40, (5, 10, 20, 40)


def verdict(holding: list[str]) -> str:
    """It holds for a method if its rollouts grow faster with d than the policy gradient's, the interval above 0."""
    if not holding:
        return "does not hold"
    return "holds" if len(holding) == len(RIVALS) else f"holds only for {'; '.join(holding)}"


def measure() -> Claim:
    """Rollouts to the target against the number of parameters."""
    found = sweep([(HORIZON, cells) for cells in CELLS], [2 * cells for cells in CELLS])
    theory = {name: "−½" if name in DISCOUNTS else "−½ to −1" for name in METHODS}
    with figure_of(1, 2, 10.0, 3.7) as (figure, axes):
        found.draw(*axes[0], xlabel="parameters d")
    growth = found.exponent(POINT)
    return Claim(
        claim="The more parameters, the more rollouts gradient-free search needs, and more so than a policy gradient",
        verdict=verdict(found.holds_for()),
        measured=found.measured("d", theory),
        setting=(
            f"Chain, {HORIZON} steps, noise of sd 1 on every reward; rollouts until the exact return is "
            f"{TARGET:.0%} of the optimum. Eight settings for each method, tuned at each d on {TUNING_RUNS} "
            f"runs; {RUNS} fresh runs, given up at {LIMIT:,}. It holds for a method if its exponent is larger "
            f"than that of {POINT}, the 95 % interval of the difference above 0; it holds if it does for all."
        ),
        table=found.table,
        picture=figure,
        remarks=[
            f"{POINT} pays for parameters as well: rollouts grow with d to the power {growth[0]:.2f} "
            f"({growth[1]:.2f} … {growth[2]:.2f}). These parameters all matter, as each cell has its own; those of a "
            "large network do not, and what counts for gradient-free search then is said to be how many do (Salimans "
            "et al. 2017, section 3).",
            f"Beside {SHORT}, whose estimates are quieter as it knows that consequences are short, the difference of "
            f"exponents is {found.beside_short()}.",
            f"Exponents compare growth, not cost. Fewest rollouts at d = {found.cheapest()}.",
            f"Given up: {found.given_up()}. Intervals are over runs and know nothing of the luck of tuning.",
            "A method deployed by its mode needs only the sign of each cell's preference, a drawn one also its size.",
        ],
    )
