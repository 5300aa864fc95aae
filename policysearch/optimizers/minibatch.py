"""Steps on minibatches in compiled form: weights of scores, ascent by Adam, and a whole epoch of both.

Sums run in the order of their index. An epoch, `climb` of a policy or `fit` of values, is a template: `forward`,
`backward` and `distribution` are those of `policysearch.policies.tiles` and `distributions`. Its arguments are

    ascent     parameters, both moments of Adam, the options of `ascend`
    network    the table of layers, rows of a tile, the first of the outputs
    ends       where the minibatches end among the steps, which are in the order of the epoch
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, name-defined"

import math

import numpy as np

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


def climb(ascent, t, network, head, steps, ends, terms, silenced):
    """An epoch of the policy: the next t.

    `head` are choices and temperature of the distribution, `steps` observations, actions, log-probabilities under the
    policy that drew them and A, `terms` clip and entropy; `silenced` takes the share that the clip silences.
    """
    params, m, v, options = ascent
    layers, rows, output = network
    obs, actions, old_log_prob, A = steps
    first = 0
    for part in range(len(ends)):
        here = slice(first, ends[part])
        count, first = ends[part] - first, ends[part]
        tiles = (count + STEPS - 1) // STEPS
        tape, bars = np.zeros((tiles, rows * STEPS)), np.empty((tiles, (rows - output) * STEPS))
        log_prob, weights, gradient = np.zeros(count), np.empty(count), np.zeros(len(params))
        forward(params, layers, obs[here], tape)
        distribution(tape, output, head[0], head[1], actions[here], log_prob, bars)
        silenced[part] = clipped_weights(log_prob, old_log_prob[here], A[here], terms[0], terms[1], weights)
        backward(params, layers, tape, bars, weights, gradient)
        t = ascend(params, gradient, m, v, t, options)
    return t


def fit(ascent, t, network, inputs, targets, ends):
    """An epoch of a network of one output on its mean squared error: the next t."""
    params, m, v, options = ascent
    layers, rows, output = network
    first = 0
    for end in ends:
        count = end - first
        tiles = (count + STEPS - 1) // STEPS
        tape, bars = np.zeros((tiles, rows * STEPS)), np.ones((tiles, STEPS))
        weights, gradient = np.empty(count), np.zeros(len(params))
        forward(params, layers, inputs[first:end], tape)
        for k in range(count):
            weights[k] = (targets[first + k] - tape[k // STEPS, output * STEPS + k % STEPS]) / count
        backward(params, layers, tape, bars, weights, gradient)
        t = ascend(params, gradient, m, v, t, options)
        first = end
    return t
