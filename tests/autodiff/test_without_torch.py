"""What is said, and what is not imported, where PyTorch or optuna is missing."""

import subprocess
import sys
from pathlib import Path


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_torch_and_optuna_are_imported_only_where_they_are_needed() -> None:
    modules = (
        "policysearch.policies, policysearch.optimizers, policysearch.evaluators.episodes, policysearch.tasks"
    )
    assert run(f"import sys, {modules}; print({{'torch', 'optuna'}} & set(sys.modules))") == "set()\n"


def test_a_missing_torch_is_an_error_that_says_how_to_install_it() -> None:
    code = """
import sys
sys.modules["torch"] = None  # as if it were not installed
try:
    import policysearch.policies.torch_policy
except ImportError as error:
    print(error)
"""
    assert run(code) == "a policy from a torch module needs PyTorch: pip install 'policysearch[torch]'\n"


WITHOUT_OPTUNA = """
import sys
sys.modules["optuna"] = None  # as if it were not installed
sys.stderr = sys.stdout
"""


def test_a_missing_optuna_is_an_error_that_says_how_to_install_it() -> None:
    code = """
import numpy as np
from policysearch.core import Domain
from policysearch.optimizers import BayesianOptimization
try:
    next(BayesianOptimization().search(Domain(np.zeros(2), -np.ones(2), np.ones(2)), np.random.default_rng(0)))
except ImportError as error:
    print(error)
"""
    said = "bayesian: needs optuna and PyTorch: pip install 'policysearch[bo]'\n"
    assert run(WITHOUT_OPTUNA + code) == said


def test_a_comparison_without_optuna_refuses_bayesian_by_name_and_leaves_it_out_of_all(
    tmp_path: Path,
) -> None:
    code = f"""
from policysearch.compare.__main__ import main
flags = ["--tasks", "exoskeleton", "--rollouts", "50", "--runs", "1", "--out", {str(tmp_path / "out")!r}]
print(main([*flags, "--optimizers", "bayesian"]))
from policysearch.compare import request
from policysearch.compare.flags import Arguments
study, lines = request.resolve(Arguments(tasks=["exoskeleton"], optimizers=["all"]))
print("bayesian" in study.optimizers, *lines, sep="\\n")
"""
    said = run(WITHOUT_OPTUNA + code).splitlines()
    reason = "needs `pip install 'policysearch[bo]'`"
    assert said[:3] == [f"error: bayesian on exoskeleton: {reason}", "2", "False"]
    assert f"left out: bayesian: on exoskeleton: {reason}" in said[3:]
    assert not (tmp_path / "out").exists()
