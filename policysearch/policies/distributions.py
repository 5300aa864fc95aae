"""Distributions over actions in compiled form: log-probabilities, their derivatives, and divergences.

The outputs y of a network are the parameters of a distribution over actions. For every step,

    log π(a|y),   ȳ = ∂ log π(a|y)/∂y,   and KL(π(·|y) ‖ π(·|y'))

The outputs are the last rows of a tape's tiles (see `tiles`), from row `output`; ȳ has tiles of these rows only.
`choices` and `temperature` are those of the softmax policy.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"

import math

import numpy as np
from numba import njit

from policysearch.elementary import exp
from policysearch.policies.tiles import INNER, STEPS

HALF_LOG_2_PI = 0.5 * math.log(2 * math.pi)


def gaussian(tape, output, choices, temperature, actions, log_prob, y_bar):
    """A normal distribution: y are the means, then the log standard deviations ℓ.

    ∂/∂μ = z/σ,   ∂/∂ℓ = z² − 1,   z = (a − μ)/σ
    """
    steps, size = actions.shape
    for start in range(0, steps, STEPS):
        y, bars = tape[start // STEPS], y_bar[start // STEPS]
        for i in range(size):
            mean, spread = (output + i) * STEPS, (output + size + i) * STEPS
            log_std = y[spread]
            gain = exp(-log_std)
            for k in range(min(steps - start, STEPS)):
                z = (actions[start + k, i] - y[mean + k]) * gain
                log_prob[start + k] += -0.5 * z * z - log_std - HALF_LOG_2_PI
                bars[i * STEPS + k] = z * gain
                bars[(size + i) * STEPS + k] = z * z - 1.0


def gaussian_divergence(old_tape, new_tape, output, choices, temperature, divergence):
    """log σ'/σ + (σ² + (μ − μ')²)/2σ'² − ½, summed over the actions."""
    steps, size = len(divergence), (old_tape.shape[1] // STEPS - output) // 2
    for start in range(0, steps, STEPS):
        old, new = old_tape[start // STEPS], new_tape[start // STEPS]
        for i in range(size):
            mean, spread = (output + i) * STEPS, (output + size + i) * STEPS
            log_ratio, variance = new[spread] - old[spread], exp(2.0 * old[spread])
            factor = 0.5 * exp(-2.0 * new[spread])
            for k in range(min(steps - start, STEPS)):
                gap = old[mean + k] - new[mean + k]
                divergence[start + k] += log_ratio + factor * (variance + gap * gap) - 0.5


@njit(**INNER)
def normalise(y, first, last, temperature, top, log_total):
    """For every column, the largest logit of the rows, and log Σ exp((y − top)/τ); NaN if a logit is not finite."""
    for k in range(STEPS):
        top[k], log_total[k] = y[first * STEPS + k], 0.0
    for row in range(first + 1, last):
        for k in range(STEPS):
            value = y[row * STEPS + k]
            top[k] = value if value > top[k] else top[k]
    for row in range(first, last):
        for k in range(STEPS):
            value = y[row * STEPS + k]
            log_total[k] += exp((value - top[k]) / temperature) + 0.0 * value
    for k in range(STEPS):
        log_total[k] = math.log(log_total[k])


def softmax(tape, output, choices, temperature, actions, log_prob, y_bar):
    """Independent choices: y are the logits of all of them.

    ∂/∂y_b = (1{a = b} − π_b)/τ
    """
    top, log_total = np.empty(STEPS), np.empty(STEPS)
    for start in range(0, len(actions), STEPS):
        y, bars, row = tape[start // STEPS], y_bar[start // STEPS], output
        for i in range(len(choices)):
            normalise(y, row, row + choices[i], temperature, top, log_total)
            for b in range(choices[i]):
                logit, bar = (row + b) * STEPS, (row + b - output) * STEPS
                for k in range(min(len(actions) - start, STEPS)):
                    log_p = (y[logit + k] - top[k]) / temperature - log_total[k]
                    chosen = actions[start + k, i] == b
                    log_prob[start + k] += log_p if chosen else 0.0
                    bars[bar + k] = ((1.0 if chosen else 0.0) - exp(log_p)) / temperature
            row += choices[i]


def softmax_divergence(old_tape, new_tape, output, choices, temperature, divergence):
    """Σ_b π_b (log π_b − log π'_b), summed over the choices."""
    top, log_total = np.empty(STEPS), np.empty(STEPS)
    new_top, new_log_total = np.empty(STEPS), np.empty(STEPS)
    for start in range(0, len(divergence), STEPS):
        old, new, row = old_tape[start // STEPS], new_tape[start // STEPS], output
        for i in range(len(choices)):
            normalise(old, row, row + choices[i], temperature, top, log_total)
            normalise(new, row, row + choices[i], temperature, new_top, new_log_total)
            for logit in range(row * STEPS, (row + choices[i]) * STEPS, STEPS):
                for k in range(min(len(divergence) - start, STEPS)):
                    log_p = (old[logit + k] - top[k]) / temperature - log_total[k]
                    log_q = (new[logit + k] - new_top[k]) / temperature - new_log_total[k]
                    divergence[start + k] += exp(log_p) * (log_p - log_q)
            row += choices[i]
