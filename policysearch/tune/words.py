"""Values, parameters and intervals as the texts and pictures of a tuning write them."""

from typing import Any

import numpy as np

from policysearch.space import Choice, Parameter


def formatted(value: Any) -> str:
    """A value: five digits; "no return" for NaN."""
    if not isinstance(value, float):
        return str(value)
    return "no return" if np.isnan(value) else f"{value:.5g}"


def stated(parameter: Parameter | Choice, value: Any) -> str:
    """A parameter with its value and unit, as in "kd = 0.3 V·s/rad"."""
    return f"{parameter.name} = {formatted(value)} {parameter.unit}".rstrip()


def labelled(parameter: Parameter | Choice) -> str:
    """The name of a parameter with its unit, as in "kd (V·s/rad)"."""
    return f"{parameter.name} ({parameter.unit})" if parameter.unit else parameter.name


def with_interval(mean: float, low: float, high: float) -> str:
    """A mean with the ends of its interval, as in "0.31 (0.12 … 0.5)"."""
    return f"{mean:.3g} ({low:.3g} … {high:.3g})"
