"""Checks that a method of policy search keeps its promises, for the author of one.

    from policysearch.testing import check_optimizer
    check_optimizer(MyMethod)

raises AssertionError with the name of the check, what was expected and what was found. With pytest, every check can
be a test of its own: `@pytest.mark.parametrize(("name", "check"), optimizer_checks(MyMethod))`. The methods of the
package pass the same checks. The idea is that of scikit-learn's `check_estimator` (Buitinck et al. 2013, "API design
for machine learning software: experiences from the scikit-learn project").
"""

from policysearch.testing.optimizers import check_optimizer, optimizer_checks

__all__ = ["check_optimizer", "optimizer_checks"]
