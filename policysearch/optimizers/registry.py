"""The methods by name, which the command lines read, and how one is configured.

A new method is one new file and one line here.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from policysearch.configuration import STRICT, messages
from policysearch.core import Optimizer
from policysearch.optimizers.ars import ARS
from policysearch.optimizers.bayesian import BayesianOptimization
from policysearch.optimizers.cma_es import CMAES
from policysearch.optimizers.cross_entropy import CrossEntropy
from policysearch.optimizers.evolution_strategy import EvolutionStrategy
from policysearch.optimizers.finite_difference import FiniteDifference
from policysearch.optimizers.genetic import Genetic
from policysearch.optimizers.hill_climbing import HillClimbing
from policysearch.optimizers.natural_gradient import NaturalGradient
from policysearch.optimizers.nelder_mead import NelderMead
from policysearch.optimizers.off_policy_reinforce import OffPolicyReinforce
from policysearch.optimizers.pgpe import PGPE
from policysearch.optimizers.ppo import PPO
from policysearch.optimizers.random_search import RandomSearch
from policysearch.optimizers.reinforce import Reinforce
from policysearch.optimizers.snes import SNES
from policysearch.optimizers.spsa import SPSA
from policysearch.optimizers.trpo import TRPO
from policysearch.registry import Registry

OPTIMIZERS: Registry[type[Optimizer]] = Registry("optimizer", "policysearch.optimizers")
OPTIMIZERS.update(
    {
        "random-search": RandomSearch,
        "hill-climbing": HillClimbing,
        "nelder-mead": NelderMead,
        "genetic": Genetic,
        "cross-entropy": CrossEntropy,
        "cma-es": CMAES,
        "snes": SNES,
        "pgpe": PGPE,
        "finite-difference": FiniteDifference,
        "spsa": SPSA,
        "evolution-strategy": EvolutionStrategy,
        "ars": ARS,
        "reinforce": Reinforce,
        "off-policy-reinforce": OffPolicyReinforce,
        "natural-gradient": NaturalGradient,
        "trpo": TRPO,
        "ppo": PPO,
        "bayesian": BayesianOptimization,
    }
)


def build(method: str, options: Mapping[str, Any]) -> Optimizer:
    """The configured optimizer.

    Raises:
        ValueError: naming every hyperparameter that is unknown or out of range.
    """
    cls = OPTIMIZERS.find(method)
    fields = {f.name: (f.type, f.default) for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    model: type[BaseModel] = create_model(cls.__name__, __config__=STRICT, **fields)  # type: ignore[call-overload]
    try:
        checked = model(**options)
    except ValidationError as error:
        raise ValueError("; ".join(messages(error, known=list(fields)))) from error
    return cls(**{name: getattr(checked, name) for name in fields})
