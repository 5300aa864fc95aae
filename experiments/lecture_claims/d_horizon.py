"""Gradient-free search ignores the temporal structure of an episode: what does a long horizon cost it?

On the chain, once with ten cells whatever the horizon T, and once with a cell for every step: then the policy is one
of time and has 2 T parameters. How searches are tuned and compared is described in chain_search.py.

Expected at θ = 0, for a rollout: the signal ‖∇J‖ grows with T where cells are shared, and with √T where they are not.
Reward-to-go sums up to T noisy rewards before each of T scores, so its noise grows with T; with a short discount it
sums a few, and the noise grows with √T. A gradient-free method sees the sum of the rewards, whose noise grows with √T
too (Salimans et al. 2017, section 3, on why ES does not care for the horizon), and what its own perturbations of the
other parameters do, which grows as the signal does and with the number of parameters.
"""

import pandas as pd
from chain_search import LIMIT, POINT, RIVALS, RUNS, SHORT, TARGET, TUNING_RUNS, Sweep, sweep
from claim import Claim

from policysearch.reporting.figures import figure_of

CELLS, HORIZONS, OWN = 10, (10, 20, 40, 80, 160), (5, 10, 20, 40)
ES_AND_ARS_SHARED, ES_AND_ARS_OWN = "½, less where perturbations rule", "−½ to −1"


def verdict(shared: Sweep, own: Sweep) -> str:
    """It holds for a method if its rollouts grow faster with T than the policy gradient's, the interval above 0."""
    holding = {
        "with shared parameters": shared.holds_for(),
        "with parameters for every step": own.holds_for(),
    }
    if all(len(names) == len(RIVALS) for names in holding.values()):
        return "holds"
    parts = [f"{where} ({'; '.join(names)})" for where, names in holding.items() if names]
    return f"holds only {'; '.join(parts)}" if parts else "does not hold"


def measure() -> Claim:
    """Rollouts to the target against the horizon."""
    shared = sweep([(T, CELLS) for T in HORIZONS], HORIZONS)
    own = sweep([(T, T) for T in OWN], OWN)
    with figure_of(2, 2, 10.0, 7.2) as (figure, axes):
        shared.draw(*axes[0], xlabel=f"horizon T, always {CELLS} cells")
        own.draw(*axes[1], xlabel="horizon T, as many cells")
    rivals_shared, rivals_own = (
        dict.fromkeys(RIVALS, ES_AND_ARS_SHARED),
        dict.fromkeys(RIVALS, ES_AND_ARS_OWN),
    )
    return Claim(
        claim="Gradient-free search ignores temporal structure: its rollouts grow faster with the horizon than a "
        "policy gradient's",
        verdict=verdict(shared, own),
        measured=[
            *shared.measured("T, shared parameters", {POINT: "0", SHORT: "½", **rivals_shared}),
            *own.measured("T, a cell for every step", {POINT: "−½", SHORT: "0", **rivals_own}),
        ],
        setting=(
            f"Chain with noise of sd 1 on every reward; rollouts until the exact return is {TARGET:.0%} of "
            f"the optimum. Eight settings for each method, tuned at each T on {TUNING_RUNS} runs; {RUNS} "
            f"fresh runs, given up at {LIMIT:,}. It holds for a method and a way to share parameters if its "
            f"exponent p is larger than that of {POINT} (reward-to-go, γ = 1), the 95 % interval of the "
            "difference above 0."
        ),
        table=pd.concat([shared.table.assign(sharing="shared"), own.table.assign(sharing="own")]),
        picture=figure,
        remarks=[
            "Reward-to-go is not much of temporal structure: it drops past rewards, about half of the noise. "
            f"Knowing how far consequences reach is more: next to {SHORT}, which has no bias on this chain, "
            f"the difference of exponents is {shared.beside_short()} with shared parameters, and "
            f"{own.beside_short()} with a cell for every step.",
            "With shared parameters a longer episode repeats the same decisions: the signal grows as well, "
            "which is what makes the exponents there. In steps instead of rollouts, all exponents are larger "
            "by 1. No exponent can show once a method needs only a batch or two.",
            "With a cell for every step the number of parameters grows along: see the claim on parameters.",
            f"Fewest rollouts, shared, at T = {shared.cheapest()}; a cell for every step, at T = {own.cheapest()}.",
            f"Given up: {shared.given_up()}; with a cell for every step {own.given_up()}. Intervals are over "
            "runs and know nothing of the luck of tuning.",
        ],
    )
