"""Estimators of the policy gradient, compared with the true gradient: `python -m policysearch.gradients`."""
