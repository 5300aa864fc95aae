"""Exact models with closed forms: the linear-quadratic regulator and the finite decision process."""
