"""The comparison of methods on equal rollout budgets; run it as `python -m policysearch.compare`."""
