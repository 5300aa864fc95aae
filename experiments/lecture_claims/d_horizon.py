"""Gradient-free search ignores the temporal structure of an episode: what does a long horizon cost it?

On the chain, once with ten cells whatever the horizon T, and once with a cell for every step: then the policy is one
of time and has 2 T parameters. How searches are tuned and compared is told in chain_search.py.

Expected at θ = 0, for a rollout: the signal ‖∇J‖ grows with T where cells are shared, and with √T where they are not.
Reward-to-go sums up to T noisy rewards before each of T scores, so its noise grows with T; a gradient-free method
sees the sum of the rewards, whose noise grows with √T only (the argument of Salimans et al. 2017, section 3), beside
what its own perturbations of the other parameters do, which grows with the number of parameters.
"""

from chain_search import LIMIT, METHODS, POINT, RUNS, Sweep, sweep
from claim import Claim

import pandas as pd

from policysearch.compare.plots import figure_of

CELLS, HORIZONS, OWN = 10, (10, 20, 40, 80, 160), (5, 10, 20, 40)


def verdict(shared: Sweep, own: Sweep) -> str:
    """It holds for a method if its rollouts grow faster with T than the policy gradient's, the interval above 0."""
    holding = {
        "with shared parameters": shared.holds_for(),
        "with parameters for every step": own.holds_for(),
    }
    rivals = len(METHODS) - 1
    if all(len(names) == rivals for names in holding.values()):
        return "holds"
    if not any(holding.values()):
        return "does not hold"
    return "holds only " + "; ".join(
        f"{where}, for {'all' if len(names) == rivals else ' and '.join(names)}"
        for where, names in holding.items() if names
    )  # fmt: skip


def measure() -> Claim:
    """Rollouts to the target against the horizon."""
    shared = sweep([(T, CELLS) for T in HORIZONS], HORIZONS)
    own = sweep([(T, T) for T in OWN], OWN)
    flat, one = (
        {
            POINT: "0",
            "ES, actions drawn": "½, flatter once perturbations rule",
            "ARS, by the mode": "the same",
        },
        "T",
    )
    steep = {POINT: "−½", "ES, actions drawn": "−½ to −1", "ARS, by the mode": "the same"}
    measured = shared.measured("T, shared parameters", flat) + own.measured("T, own parameters", steep)
    with figure_of(2, 2, 9.0, 7.0) as (figure, axes):
        shared.draw(*axes[0], f"horizon T, {CELLS} cells ({2 * CELLS} parameters)")
        own.draw(*axes[1], "horizon T = cells (2 T parameters)")
    parts = [shared.table.assign(part="shared"), own.table.assign(part="own")]
    return Claim("x", verdict(shared, own), measured, "", pd.concat(parts), figure)
