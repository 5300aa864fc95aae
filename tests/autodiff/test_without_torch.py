"""What is said, and what is not imported, where PyTorch is missing."""

import subprocess
import sys


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_torch_is_imported_only_by_its_own_module() -> None:
    modules = (
        "policysearch.policies, policysearch.optimizers, policysearch.evaluators.episodes, policysearch.tasks"
    )
    assert run(f"import sys, {modules}; print('torch' in sys.modules)") == "False\n"


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
