"""What a step on a minibatch takes besides the derivatives, in compiled form: weights of scores, ascent by Adam.

Sums run in the order of their index.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"

import math

from policysearch.elementary import exp


def clipped_weights(log_prob, old_log_prob, A, clip, entropy, w):
    """Write the factors before the scores in ∇L (see `ppo`); the share of steps that the clip silences.

    A is standardised. The entropy bonus has the factor −β ρ (log π − mean log π).
    """
    steps = len(A)
    mean, spread, middle, silent = 0.0, 0.0, 0.0, 0
    for t in range(steps):
        mean += A[t] / steps
        middle += log_prob[t] / steps
    for t in range(steps):
        spread += (A[t] - mean) * (A[t] - mean) / steps
    scale = math.sqrt(spread) + 1e-8
    for t in range(steps):
        rho = exp(min(max(log_prob[t] - old_log_prob[t], -50.0), 50.0))
        advantage = (A[t] - mean) / scale
        outside = rho > 1.0 + clip if advantage > 0.0 else rho < 1.0 - clip  # the minimum is the constant
        silent += outside
        w[t] = (0.0 if outside else rho * advantage) / steps
        w[t] -= entropy * rho * (log_prob[t] - middle) / steps
    return silent / steps


def ascend(params, gradient, m, v, t, options):
    """Move the parameters in place by Adam, along a gradient that is shortened first; the next t.

    The step is that of `adam`, with ε in the unit of the gradient; `options` are the learning rate, the norm to which
    the gradient is cut, and the bounds of the parameters. A gradient whose square is not finite makes no step.
    """
    learning_rate, norm, lower, upper = options
    square = 0.0
    for i in range(len(gradient)):
        square += gradient[i] * gradient[i]
    if not math.isfinite(square):
        return t
    factor = norm / math.sqrt(square) if math.sqrt(square) > norm else 1.0
    t += 1
    for i in range(len(gradient)):
        g = gradient[i] * factor
        m[i] = 0.9 * m[i] + (1.0 - 0.9) * g
        v[i] = 0.999 * v[i] + (1.0 - 0.999) * (g * g)
    m_unit, v_unit = 1.0 - 0.9**t, 1.0 - 0.999**t
    for i in range(len(gradient)):
        step = learning_rate * (m[i] / m_unit) / (math.sqrt(v[i] / v_unit) + 1e-8)
        params[i] = min(max(params[i] + step, lower[i]), upper[i])
    return t
