"""The product of a matrix and a vector inside a compiled rollout, in vector instructions.

LLVM may not change the order of a sum, and therefore computes a sum of products one by one. Here the order is another
one from the start: four sums, each of every fourth product, which one vector instruction continues together. It is
the same on every processor, and so are the bits: a processor with narrower vectors takes more instructions.
"""

# mypy: disable-error-code="no-untyped-call, no-untyped-def, call-arg"

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

DOUBLE = ir.DoubleType()
VECTOR = ir.VectorType(DOUBLE, 4)
ROWS = 8  # at a time: as many sums as a processor can continue while the first is not done


@njit(error_model="numpy")
def add_product(W, x, z):
    """z += W x for contiguous arrays of the shapes rows × columns, columns and rows, which are not checked.

    The sum of a row is ((s₀ + s₁) + (s₂ + s₃)), s_k being that of its products j = k, k + 4, k + 8, …; the last
    products, of which there are fewer than four, are added to it one by one. Each is added in one rounding.
    """
    rows = W.shape[0]
    together = rows - rows % ROWS
    for first in range(0, together, ROWS):
        add_rows(W, x, z, first, ROWS)
    for first in range(together, rows):
        add_rows(W, x, z, first, 1)


@intrinsic(prefer_literal=True)
def add_rows(typing: Any, W: Any, x: Any, z: Any, first: Any, count: Any) -> Any:  # noqa: PLR0917
    """`add_product` for `count` rows from `first` on; `count` is a constant."""
    if any(kind.layout != "C" for kind in (W, x, z)):
        raise TypingError(f"add_product: expected contiguous arrays, got {W}, {x} and {z}")

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = zip(signature.args[:3], arguments[:3], strict=True)
        arrays = [context.make_array(kind)(context, builder, value) for kind, value in kinds]
        emit(builder, arrays, arguments[3], count.literal_value)
        return context.get_dummy_value()

    return types.void(W, x, z, types.intp, count), codegen


def emit(builder: Any, arrays: list[Any], first: Any, count: int) -> None:
    """Write the instructions of `add_rows`."""
    W, x, z = arrays
    columns = builder.extract_value(W.shape, 1)
    whole = builder.and_(columns, columns.type(-4))
    numbers = [builder.add(first, first.type(k)) for k in range(count)]
    rows = [builder.gep(W.data, [builder.mul(number, columns)]) for number in numbers]
    sums = [cgutils.alloca_once_value(builder, VECTOR([0.0] * 4)) for _ in rows]
    totals = [cgutils.alloca_once(builder, DOUBLE) for _ in rows]
    fma = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), "llvm.fma.v4f64"
    )
    for s in sums:
        builder.store(VECTOR([0.0] * 4), s)
    with columns_from(builder, columns.type(0), whole, 4) as j:
        x_j = four(builder, x.data, j)
        for row, s in zip(rows, sums, strict=True):
            builder.store(builder.call(fma, [four(builder, row, j), x_j, builder.load(s)]), s)
    for s, total in zip(sums, totals, strict=True):
        parts = [builder.extract_element(builder.load(s), ir.IntType(32)(k)) for k in range(4)]
        builder.store(builder.fadd(builder.fadd(*parts[:2]), builder.fadd(*parts[2:])), total)
    with columns_from(builder, whole, columns, 1) as j:
        x_j = builder.load(builder.gep(x.data, [j]))
        for row, total in zip(rows, totals, strict=True):
            entry = builder.load(builder.gep(row, [j]))
            builder.store(builder.fma(entry, x_j, builder.load(total)), total)
    for number, total in zip(numbers, totals, strict=True):
        place = builder.gep(z.data, [number])
        builder.store(builder.fadd(builder.load(place), builder.load(total)), place)


@contextmanager
def columns_from(builder: Any, start: Any, stop: Any, step: int) -> Iterator[Any]:
    """A loop over columns."""
    with cgutils.for_range_slice(builder, start, stop, start.type(step), start.type) as (j, _):
        yield j


def four(builder: Any, numbers: Any, j: Any) -> Any:
    """The vector of four numbers from number j on."""
    loaded = builder.load(builder.bitcast(builder.gep(numbers, [j]), VECTOR.as_pointer()))
    loaded.align = 8  # that of one number
    return loaded
