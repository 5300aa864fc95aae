"""The layers of a network inside a compiled rollout, in vector instructions.

LLVM may not change the order of a sum, and therefore computes a sum of products one by one. Here the order is another
one from the start: four sums, each of every fourth product, which one vector instruction continues together. It is
the same on every processor, and so are the bits: a processor with narrower vectors takes more instructions.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, call-arg"

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

DOUBLE = ir.DoubleType()
VECTOR = ir.VectorType(DOUBLE, 4)
ROWS = 8  # at a time: as many sums as a processor can continue while the first is not done


@intrinsic
def affine(typing: Any, params: Any, scratch: Any, at: Any) -> Any:
    """z = b + W x for a layer of a network; `params` and `scratch` are contiguous arrays, which are not checked.

    `at` says where: the index in `params` of W, row by row and followed by b, those in `scratch` of x and z, and the
    numbers of rows and columns. The sum of a row is ((s₀ + s₁) + (s₂ + s₃)), s_k being that of its products
    j = k, k + 4, k + 8, …; the last products, of which there are fewer than four, are added to it one by one. Each is
    added in one rounding, and the sum to b.
    """
    if any(kind.layout != "C" for kind in (params, scratch)):
        raise TypingError(f"affine: expected contiguous arrays, got {params} and {scratch}")

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = zip(signature.args[:2], arguments[:2], strict=True)
        numbers, units = (context.make_array(kind)(context, builder, value).data for kind, value in kinds)
        w, x, z, rows, columns = (builder.extract_value(arguments[2], i) for i in range(5))
        layer = Layer(
            W=builder.gep(numbers, [w]),
            b=builder.gep(numbers, [builder.add(w, builder.mul(rows, columns))]),
            x=builder.gep(units, [x]),
            z=builder.gep(units, [z]),
            columns=columns,
        )
        together = builder.and_(rows, rows.type(-ROWS))
        with steps(builder, rows.type(0), together, ROWS) as first:
            emit(builder, layer, first, ROWS)
        with steps(builder, together, rows, 1) as first:
            emit(builder, layer, first, 1)
        return context.get_dummy_value()

    return types.void(params, scratch, types.UniTuple(types.intp, 5)), codegen


class Layer(NamedTuple):
    """Where the numbers of a layer are, and how many columns it has."""

    W: Any
    b: Any
    x: Any
    z: Any
    columns: Any


def emit(builder: Any, layer: Layer, first: Any, count: int) -> None:
    """Write the instructions for `count` rows from `first` on."""
    columns = layer.columns
    whole = builder.and_(columns, columns.type(-4))
    numbers = [builder.add(first, first.type(k)) for k in range(count)]
    rows = [builder.gep(layer.W, [builder.mul(number, columns)]) for number in numbers]
    sums = [cgutils.alloca_once(builder, VECTOR) for _ in rows]
    totals = [cgutils.alloca_once(builder, DOUBLE) for _ in rows]
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), "llvm.fma.v4f64"
    )
    for s in sums:
        builder.store(VECTOR([0.0] * 4), s)
    with steps(builder, columns.type(0), whole, 4) as j:
        x_j = four(builder, layer.x, j)
        for row, s in zip(rows, sums, strict=True):
            builder.store(builder.call(fma, [four(builder, row, j), x_j, builder.load(s)]), s)
    for total, value in zip(totals, across(builder, [builder.load(s) for s in sums]), strict=True):
        builder.store(value, total)
    with steps(builder, whole, columns, 1) as j:
        x_j = builder.load(builder.gep(layer.x, [j]))
        for row, total in zip(rows, totals, strict=True):
            entry = builder.load(builder.gep(row, [j]))
            builder.store(builder.fma(entry, x_j, builder.load(total)), total)
    for number, total in zip(numbers, totals, strict=True):
        bias = builder.load(builder.gep(layer.b, [number]))
        builder.store(builder.fadd(bias, builder.load(total)), builder.gep(layer.z, [number]))


def across(builder: Any, sums: list[Any]) -> list[Any]:
    """(s₀ + s₁) + (s₂ + s₃) of every vector; four vectors take as many instructions as one."""
    if len(sums) % 4:
        parts = [[builder.extract_element(s, ir.IntType(32)(k)) for k in range(4)] for s in sums]
        return [builder.fadd(builder.fadd(*part[:2]), builder.fadd(*part[2:])) for part in parts]

    def mixed(a: Any, b: Any, places: tuple[int, ...]) -> Any:
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), 4), places))

    def pairs(a: Any, b: Any) -> Any:  # a₀ + a₁, b₀ + b₁, a₂ + a₃, b₂ + b₃
        return builder.fadd(mixed(a, b, (0, 4, 2, 6)), mixed(a, b, (1, 5, 3, 7)))

    found = []
    for i in range(0, len(sums), 4):
        a, b = pairs(*sums[i : i + 2]), pairs(*sums[i + 2 : i + 4])
        four_sums = builder.fadd(mixed(a, b, (0, 1, 4, 5)), mixed(a, b, (2, 3, 6, 7)))
        found += [builder.extract_element(four_sums, ir.IntType(32)(k)) for k in range(4)]
    return found


@contextmanager
def steps(builder: Any, start: Any, stop: Any, step: int) -> Iterator[Any]:
    """A loop."""
    with cgutils.for_range_slice(builder, start, stop, start.type(step), start.type) as (j, _):
        yield j


def four(builder: Any, numbers: Any, j: Any) -> Any:
    """The vector of four numbers from number j on."""
    loaded = builder.load(builder.bitcast(builder.gep(numbers, [j]), VECTOR.as_pointer()))
    loaded.align = 8  # that of one number
    return loaded
