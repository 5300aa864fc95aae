"""Networks and their derivatives in compiled form, for many steps under one parameter vector.

    forward    h_0 = s,   h_l = tanh(W_l h_{l−1} + b_l),   y = W_L h_{L−1} + b_L
    tangents   ẏ = ∂y/∂θ · θ̇
    backward   θ̄ = Σ_t w_t ȳ_tᵀ ∂y_t/∂θ

A tape keeps what the derivatives need. It consists of tiles of `STEPS` steps each. The columns of a tile are steps,
its rows the units of all layers in turn: observations, hidden units, outputs; it is a flat array, row by row. Every
innermost loop is one over columns, of which the processor computes several at once. Sums run in the order of their
index, those over steps within a tile and then over tiles; products and sums are fused.

`layers` has a row per layer: the tile's row of its first input, how many these are, how many outputs follow them, and
the indices of its first weight and first bias among the parameters, the latter −1 without biases. Parameters after
those of the layers (log standard deviations) are further outputs, the same in every step.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg"

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from policysearch.elementary import tanh_all

#: Columns of a tile, and of which number the computed ones are a multiple: the last of them may be idle.
STEPS, GROUP = 64, 8
ZERO = ir.Constant(ir.IntType(32), 0)

#: Of functions that compiled code calls and nothing else.
INNER: Any = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


class _Vectors:
    """Vectors of `GROUP` numbers in code that is being built."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context, self.builder, self.kind = context, builder, ir.VectorType(ir.DoubleType(), GROUP)
        signature = ir.FunctionType(self.kind, [self.kind] * 3)
        self._fma = cgutils.get_or_insert_function(builder.module, signature, f"llvm.fma.v{GROUP}f64")

    def data(self, array: Any, kind: Any) -> Any:
        """Where the numbers of an array are."""
        return self.context.make_array(kind)(self.context, self.builder, array).data

    def place(self, data: Any, index: Any) -> Any:
        """Where the vector is that begins with a number of an array."""
        return self.builder.bitcast(self.builder.gep(data, [index]), self.kind.as_pointer())

    def add_scaled(self, total: Any, factor: Any, data: Any, index: Any) -> Any:
        """`total` and a number times a vector of an array, rounded once."""
        one = self.builder.insert_element(ir.Constant(self.kind, ir.Undefined), factor, ZERO)
        zeros = ir.Constant(ir.VectorType(ZERO.type, GROUP), [0] * GROUP)
        term = self.builder.load(self.place(data, index), align=8)
        return self.builder.call(self._fma, [self.builder.shuffle_vector(one, one, zeros), term, total])


@intrinsic
def add_scaled(typing: Any, c: Any, z: Any, factors: Any, b: Any, x: Any) -> Any:
    """c[z:z+8] += Σ_m factors[m] b[x[m]:x[m]+8], term after term, each rounded once.

    As one loop in Python it has the same bits, and LLVM takes ten times as long to make it as fast.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors, (c, z, factors, b, x) = _Vectors(context, builder), arguments
        to, data = vectors.place(vectors.data(c, signature.args[0]), z), vectors.data(b, signature.args[3])
        total = builder.load(to, align=8)
        for m in range(len(signature.args[2])):
            factor, index = builder.extract_value(factors, m), builder.extract_value(x, m)
            total = vectors.add_scaled(total, factor, data, index)
        builder.store(total, to, align=8)
        return context.get_dummy_value()

    return types.void(c, z, factors, b, x), codegen


@intrinsic
def add_rows(typing: Any, c: Any, z: Any, a: Any, w: Any, b: Any, x: Any, terms: Any) -> Any:
    """c[z_r:z_r+8] += Σ_j a[w_r + j·along] b[x + j·down : … + 8] for every r, term after term, each rounded once.

    The sums stay in registers: what is loaded of b serves all rows. `terms` are their number, `along` and `down`.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors, (c, z, a, w, b, x, terms) = _Vectors(context, builder), arguments
        to, data, factors = (vectors.data(each, signature.args[i]) for i, each in ((0, c), (4, b), (2, a)))
        rows = range(len(signature.args[1]))
        places = [vectors.place(to, builder.extract_value(z, r)) for r in rows]
        totals = [cgutils.alloca_once_value(builder, builder.load(place, align=8)) for place in places]
        count, along, down = (builder.extract_value(terms, i) for i in range(3))
        with cgutils.for_range(builder, count) as each:
            index = builder.add(x, builder.mul(each.index, down))
            for r, total in zip(rows, totals, strict=True):
                at = builder.add(builder.extract_value(w, r), builder.mul(each.index, along))
                factor = builder.load(builder.gep(factors, [at]))
                builder.store(vectors.add_scaled(builder.load(total), factor, data, index), total)
        for place, total in zip(places, totals, strict=True):
            builder.store(builder.load(total), place, align=8)
        return context.get_dummy_value()

    return types.void(c, z, a, w, b, x, terms), codegen


@njit(**INNER)
def block(array, first, down, along=1):
    """A matrix in a flat array: the index of its first entry, the distances from row to row and column to column."""
    return array, np.int64(first), np.int64(down), np.int64(along)  # literals would be types of their own


@njit(**INNER)
def add_product(A, B, C, rows, inner, columns):
    """C += A B, of blocks; `columns` is a multiple of `GROUP`, and those of B and C lie side by side."""
    a, a_first, a_down, a_along = A
    b, b_first, b_down, _ = B
    c, c_first, c_down, _ = C
    whole, blocked = inner - inner % 4, rows - rows % 4
    for i in range(0, blocked, 4):
        w = a_first + i * a_down
        ws = (w, w + a_down, w + 2 * a_down, w + 3 * a_down)
        for k in range(0, columns, GROUP):
            z = c_first + i * c_down + k
            zs = (z, z + c_down, z + 2 * c_down, z + 3 * c_down)
            add_rows(c, zs, a, ws, b, b_first + k, (inner, a_along, b_down))
    for i in range(blocked, rows):
        w, z = a_first + i * a_down, c_first + i * c_down
        for j in range(0, whole, 4):
            at, x = w + j * a_along, b_first + j * b_down
            four = (a[at], a[at + a_along], a[at + 2 * a_along], a[at + 3 * a_along])
            for k in range(0, columns, GROUP):
                add_scaled(c, z + k, four, b, (x + k, x + b_down + k, x + 2 * b_down + k, x + 3 * b_down + k))
        for j in range(whole, inner):
            one, x = (a[w + j * a_along],), b_first + j * b_down
            for k in range(0, columns, GROUP):
                add_scaled(c, z + k, one, b, (x + k,))


@njit(**INNER)
def fill(tile, row, value, columns):
    """Write one value to all columns of a row."""
    for k in range(row * STEPS, row * STEPS + columns):
        tile[k] = value


@njit(**INNER)
def add_linear(params, layer, x, z, columns):
    """z += W x, and z = b + W x where there are biases."""
    first, inputs, outputs, weights, biases = layer
    for i in range(outputs if biases >= 0 else 0):
        fill(z, first + inputs + i, params[biases + i], columns)
    W, x_block = block(params, weights, inputs), block(x, first * STEPS, STEPS)
    add_product(W, x_block, block(z, (first + inputs) * STEPS, STEPS), outputs, inputs, columns)


@njit(**INNER)
def scale_by_slopes(derivatives, tile, row, rows, columns):
    """Multiply derivatives by 1 − h²: the slope of tanh where its value is h."""
    for i in range(row * STEPS, (row + rows) * STEPS, STEPS):
        for k in range(i, i + columns):
            derivatives[k] *= 1.0 - tile[k] * tile[k]


@njit(**INNER)
def sizes(params, layers):
    """Rows of a tile, the first of the outputs, and the parameters of all layers."""
    first, inputs, outputs, weights, biases = layers[-1]
    used = weights + outputs * inputs + (outputs if biases >= 0 else 0)
    return first + inputs + outputs + len(params) - used, first + inputs, used


@njit(**INNER)
def computed(steps, start):
    """Steps of the tile that begins at `start`, and its columns that are computed."""
    here = min(steps - start, STEPS)
    return here, (here + GROUP - 1) // GROUP * GROUP


def forward(params, layers, obs, tape):
    """Write observations, hidden units and outputs to a tape of zeros."""
    rows, _, used = sizes(params, layers)
    for start in range(0, len(obs), STEPS):
        steps, columns = computed(len(obs), start)
        tile = tape[start // STEPS]
        for i in range(obs.shape[1]):
            for k in range(steps):
                tile[i * STEPS + k] = obs[start + k, i]
        for layer in range(len(layers)):
            add_linear(params, layers[layer], tile, tile, columns)
            if layer < len(layers) - 1:
                for i in range(layers[layer + 1, 0], layers[layer + 1, 0] + layers[layer + 1, 1]):
                    tanh_all(tile, i * STEPS, i * STEPS + columns)
        for i in range(used, len(params)):
            fill(tile, rows - len(params) + i, params[i], columns)


def tangents(params, direction, layers, tape, y_bar, along):
    """Write along_t = ȳ_t · ∂y_t/∂θ · θ̇."""
    rows, output, used = sizes(params, layers)
    dots = np.zeros(rows * STEPS)  # those of observations stay zero
    for start in range(0, len(along), STEPS):
        steps, columns = computed(len(along), start)
        tile, bars = tape[start // STEPS], y_bar[start // STEPS]
        for layer in range(len(layers)):
            first, inputs, outputs, weights, _ = layers[layer]
            for i in range(outputs):
                fill(dots, first + inputs + i, 0.0, columns)
            add_linear(direction, layers[layer], tile, dots, columns)
            if layer:
                W, x_dot = block(params, weights, inputs), block(dots, first * STEPS, STEPS)
                add_product(W, x_dot, block(dots, (first + inputs) * STEPS, STEPS), outputs, inputs, columns)
            if layer < len(layers) - 1:
                scale_by_slopes(dots, tile, first + inputs, outputs, columns)
        for i in range(used, len(params)):
            fill(dots, rows - len(params) + i, direction[i], columns)
        for k in range(start, start + steps):
            along[k] = 0.0
        for i in range(0, (rows - output) * STEPS, STEPS):
            for k in range(steps):
                along[start + k] += bars[i + k] * dots[output * STEPS + i + k]


def backward(params, layers, tape, y_bar, weights, gradient):
    """Add Σ_t w_t ȳ_tᵀ ∂y_t/∂θ to a gradient."""
    rows, output, used = sizes(params, layers)
    bars, most = np.zeros(rows * STEPS), 0
    for layer in range(len(layers)):
        most = max(most, (STEPS + layers[layer, 2]) * (layers[layer, 1] + GROUP))
    scratch = np.zeros(most)
    for start in range(0, len(weights), STEPS):
        steps, columns = computed(len(weights), start)
        tile = tape[start // STEPS]
        for i in range(0, (rows - output) * STEPS, STEPS):
            for k in range(columns):
                value = y_bar[start // STEPS, i + k] * weights[start + k] if k < steps else 0.0
                bars[output * STEPS + i + k] = value
        for i in range(used, len(params)):
            gradient[i] += total(bars, rows - len(params) + i, columns)
        for layer in range(len(layers) - 1, -1, -1):
            add_gradient(layers[layer], tile, bars, scratch, gradient, columns)
            if layer:
                first, inputs, outputs, index, _ = layers[layer]
                for i in range(first, first + inputs):
                    fill(bars, i, 0.0, columns)
                z_bar, x_bar = block(bars, (first + inputs) * STEPS, STEPS), block(bars, first * STEPS, STEPS)
                add_product(block(params, index, 1, inputs), z_bar, x_bar, inputs, outputs, columns)
                scale_by_slopes(bars, tile, first, inputs, columns)


@njit(**INNER)
def add_gradient(layer, tile, bars, scratch, gradient, columns):
    """Add the products of inputs and cotangents to a gradient; in `scratch`, rows are whole vectors."""
    first, inputs, outputs, weights, biases = layer
    width = (inputs + GROUP - 1) // GROUP * GROUP
    turned, result = block(scratch, 0, width), block(scratch, columns * width, width)
    for i in range(inputs):
        for k in range(columns):
            scratch[k * width + i] = tile[(first + i) * STEPS + k]
    for k in range(columns * width, (columns + outputs) * width):
        scratch[k] = 0.0
    add_product(block(bars, (first + inputs) * STEPS, STEPS), turned, result, outputs, columns, width)
    for i in range(outputs):
        for j in range(inputs):
            gradient[weights + i * inputs + j] += scratch[(columns + i) * width + j]
        if biases >= 0:
            gradient[biases + i] += total(bars, first + inputs + i, columns)


@njit(**INNER)
def total(tile, row, columns):
    """The sum of a row."""
    value = 0.0
    for k in range(row * STEPS, row * STEPS + columns):
        value += tile[k]
    return value
