"""Estimators of ∇J(θ) as plain functions of recorded returns or rollouts, and exact gradients."""
