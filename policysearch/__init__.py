"""policysearch: good parameters for a controller by trying them, and an honest comparison of the methods.

    policysearch.compare(study)           compare methods on equal budgets; also `python -m policysearch.compare`
    policysearch.tune(function, space)    tune a function or a program; also `python -m policysearch.tune`
    policysearch.generations(…)           the loop of a search, whose body is yours
    policysearch.AskTell(…)               the same search for a loop of your own
    policysearch.load(file).act(obs)      a saved policy, without its environment

The names of `__all__` are public, and `policysearch.testing` is; other modules may change without notice. A name is
imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from policysearch.exports import exports as _exports

if TYPE_CHECKING:  # for editors and type checkers; `_PLACES` is the same at run time
    from policysearch.asking.prompt import Prompt
    from policysearch.compare.api import compare
    from policysearch.compare.result import CompareResult
    from policysearch.compare.study import Study
    from policysearch.constraints import Constraint
    from policysearch.core import (
        Domain,
        Evaluation,
        Evaluator,
        Optimizer,
        Policy,
        Proposal,
        Rollout,
        StochasticPolicy,
    )
    from policysearch.deploy.policy import SavedPolicy, load
    from policysearch.evaluators import (
        Capped,
        CompiledEvaluator,
        EpisodeEvaluator,
        FunctionEvaluator,
        PoolEvaluator,
        ProgramEvaluator,
        Runner,
    )
    from policysearch.interrupts import Interrupted
    from policysearch.optimizers import (
        ARS,
        CMAES,
        OPTIMIZERS,
        PGPE,
        PPO,
        SNES,
        SPSA,
        TRPO,
        Auto,
        BayesianOptimization,
        CrossEntropy,
        EvolutionStrategy,
        FiniteDifference,
        Genetic,
        HillClimbing,
        LearningRateCMAES,
        LocalRegression,
        MultiStart,
        NaturalGradient,
        NelderMead,
        OffPolicyReinforce,
        OnePlusOneCMAES,
        QuadraticModel,
        RandomSearch,
        Reinforce,
        Repeated,
        SeparableCMAES,
        Trusted,
        Whitened,
        build,
    )
    from policysearch.policies import (
        MLP,
        PID,
        CascadedPID,
        EnergySwingUp,
        Gaussian,
        Linear,
        LQRWeights,
        PatternGenerator,
        Softmax,
    )
    from policysearch.search import AskTell, Budget, Generation, SearchFailed, generations
    from policysearch.seeding import stream
    from policysearch.simulators import Simulator, SimulatorEnv
    from policysearch.space import Bounds, Choice, Parameter, Space, space_of
    from policysearch.tasks import TASKS, Task, find_task, make_evaluator, make_policy
    from policysearch.tune.api import tune
    from policysearch.tune.result import TuneResult

__version__ = "0.1.0"

#: Where the public names are.
_PLACES = {
    "asking.prompt": "Prompt",
    "compare.result": "CompareResult",
    "compare.study": "Study",
    "constraints": "Constraint",
    "deploy.policy": "SavedPolicy load",
    "core": "Domain Evaluation Evaluator Optimizer Policy Proposal Rollout StochasticPolicy",
    "interrupts": "Interrupted",
    "evaluators": "Capped CompiledEvaluator EpisodeEvaluator FunctionEvaluator PoolEvaluator ProgramEvaluator Runner",
    "optimizers": "ARS CMAES OPTIMIZERS PGPE PPO SNES SPSA TRPO Auto BayesianOptimization CrossEntropy "
    "EvolutionStrategy FiniteDifference Genetic HillClimbing LearningRateCMAES LocalRegression MultiStart "
    "NaturalGradient NelderMead OffPolicyReinforce OnePlusOneCMAES QuadraticModel RandomSearch Reinforce Repeated "
    "SeparableCMAES Trusted Whitened build",
    "policies": "MLP PID CascadedPID EnergySwingUp Gaussian LQRWeights Linear PatternGenerator Softmax",
    "search": "AskTell Budget Generation SearchFailed generations",
    "seeding": "stream",
    "simulators": "Simulator SimulatorEnv",
    "space": "Bounds Choice Parameter Space space_of",
    "tasks": "TASKS Task find_task make_evaluator make_policy",
    "tune.result": "TuneResult",
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names.split()}
_find = _exports(__name__, _MODULES)

__all__ = [
    "ARS",
    "CMAES",
    "MLP",
    "OPTIMIZERS",
    "PGPE",
    "PID",
    "PPO",
    "SNES",
    "SPSA",
    "TASKS",
    "TRPO",
    "AskTell",
    "Auto",
    "BayesianOptimization",
    "Bounds",
    "Budget",
    "Capped",
    "CascadedPID",
    "Choice",
    "CompareResult",
    "CompiledEvaluator",
    "Constraint",
    "CrossEntropy",
    "Domain",
    "EnergySwingUp",
    "EpisodeEvaluator",
    "Evaluation",
    "Evaluator",
    "EvolutionStrategy",
    "FiniteDifference",
    "FunctionEvaluator",
    "Gaussian",
    "Generation",
    "Genetic",
    "HillClimbing",
    "Interrupted",
    "LQRWeights",
    "LearningRateCMAES",
    "Linear",
    "LocalRegression",
    "MultiStart",
    "NaturalGradient",
    "NelderMead",
    "OffPolicyReinforce",
    "OnePlusOneCMAES",
    "Optimizer",
    "Parameter",
    "PatternGenerator",
    "Policy",
    "PoolEvaluator",
    "ProgramEvaluator",
    "Prompt",
    "Proposal",
    "QuadraticModel",
    "RandomSearch",
    "Reinforce",
    "Repeated",
    "Rollout",
    "Runner",
    "SavedPolicy",
    "SearchFailed",
    "SeparableCMAES",
    "Simulator",
    "SimulatorEnv",
    "Softmax",
    "Space",
    "StochasticPolicy",
    "Study",
    "Task",
    "Trusted",
    "TuneResult",
    "Whitened",
    "build",
    "compare",
    "find_task",
    "generations",
    "load",
    "make_evaluator",
    "make_policy",
    "space_of",
    "stream",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in ("compare", "tune"):
        return import_module(f"policysearch.{name}")  # a package that is called like its function
    return _find(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
