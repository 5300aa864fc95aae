"""Simulators that ship with the package; importing this module registers them with Gymnasium."""

import gymnasium

gymnasium.register("policysearch/LQR-v0", entry_point="policysearch.simulators.lqr:LQREnv")
