"""Compiled functions made from templates.

A rollout is one compiled loop around three things that are not known before the user has chosen: a simulator,
a policy, and their sizes. The loop is therefore written once, as a *template*: an ordinary function whose
free names (`step`, `act`, `OBS`, …) are filled in by `specialise`, which compiles it with these names bound
to compiled functions and constants. LLVM then sees one function with fixed sizes.

Numba caches compiled code on disk by the file of a function, and does not notice when a function that it
calls has changed. Here the name under which code is cached contains a fingerprint of everything that went
into it, so an edited simulator is compiled again.
"""

# mypy: disable-error-code="no-untyped-call"

import contextlib
import hashlib
import importlib
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, entrypoints
from numba.core.caching import FunctionCache
from numba.core.registry import CPUDispatcher
from numba.core.runtime.nrt import rtsys
from numba.extending import intrinsic

#: Modules whose content changes with their versions only.
_LIBRARIES = ("math", "cmath", "numpy", "numba")


def specialise(template: Callable[..., Any], **names: Any) -> Any:
    """`template` compiled with its free names bound to `names`: compiled functions, numbers, tuples, arrays.

    A Numba function may be given too. The compiled code releases the interpreter lock, divides as NumPy does
    (no exception for zero), and is cached on disk where Numba can.
    """
    template = getattr(template, "py_func", template)
    if not isinstance(template, types.FunctionType):
        raise TypeError(f"expected a function that Numba can compile, got {template!r}")
    function = types.FunctionType(template.__code__, {**template.__globals__, **names}, template.__name__)
    function.__module__ = template.__module__
    function.__qualname__ = f"{template.__name__}_{fingerprint(function)}"
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    compiled = numba.njit(function, **options)
    with contextlib.suppress(RuntimeError):  # no folder to cache in
        compiled._cache = _OnDisk(compiled.py_func)  # as `cache=True` does
    return compiled


class _OnDisk(FunctionCache):
    """Numba's cache, which prepares nothing that only compiling needs: that takes most of a second of a process.

    Compiled code calls C functions, which are known after Numba's import, but for these: memory of arrays, the secret
    of hashes, and what installed extensions of Numba add.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What has been compiled for these types; None if it has not."""
        rtsys.initialize(target_context)
        importlib.import_module("numba.cpython.hashing")
        entrypoints.init_all()
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def merged(function: Any, known: dict[Any, Any] | None = None) -> Any:
    """`function`, Numba's or a plain one, that is compiled into what calls it, together with all that it calls.

    LLVM can turn a loop into vector instructions only where no call is left in it. A function that calls itself
    stays a call.
    """
    known = {} if known is None else known
    template = getattr(function, "py_func", function)
    if template not in known:
        known[template] = function  # while what it refers to is merged

        def of(value: Any) -> Any:
            return merged(value, known) if isinstance(value, CPUDispatcher) else value

        names = {
            name: of(template.__globals__[name])
            for name in _names(template.__code__)
            if name in template.__globals__
        }
        cells = tuple(types.CellType(of(cell.cell_contents)) for cell in template.__closure__ or ())
        copy = types.FunctionType(
            template.__code__,
            {**template.__globals__, **names},
            template.__name__,
            template.__defaults__,
            cells,
        )
        given = function.targetoptions if isinstance(function, CPUDispatcher) else {"error_model": "numpy"}
        options: dict[str, Any] = {name: given[name] for name in ("error_model", "fastmath") if name in given}
        known[template] = numba.njit(copy, forceinline=True, **options)
    return known[template]


def fingerprint(value: Any) -> str:
    """A hexadecimal digest of a function's code and, recursively, of everything that it refers to."""
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__}".encode())
    for piece in _pieces(value, set()):
        digest.update(piece.encode() + b"\0")
    return digest.hexdigest()[:24]


def _pieces(value: Any, seen: set[int]) -> Iterator[str]:
    """The text of `value`: code, constants and globals, functions seen once."""
    if isinstance(value, CPUDispatcher):
        value = value.py_func
    defined = inspect.unwrap(getattr(value, "_defn", value))  # an intrinsic's definition
    if isinstance(defined, types.FunctionType):
        if id(defined) not in seen:
            seen.add(id(defined))
            yield from _function_pieces(defined, seen)
    elif isinstance(value, types.CodeType):
        yield value.co_code.hex()
        for constant in value.co_consts:
            yield from _pieces(constant, seen)
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    elif isinstance(value, tuple):
        for item in value:
            yield from _pieces(item, seen)
    elif " at 0x" in repr(value):  # an object that says nothing of itself but where it is
        yield getattr(value, "__name__", type(value).__qualname__)
    else:
        yield repr(value)


def _function_pieces(function: types.FunctionType, seen: set[int]) -> Iterator[str]:
    code = function.__code__
    yield from (str(function.__module__), code.co_name, *code.co_names, *code.co_varnames)
    yield from _pieces(code, seen)
    yield from _pieces(function.__defaults__ or (), seen)
    for cell in function.__closure__ or ():
        yield from _pieces(cell.cell_contents, seen)
    names = list(_names(code))
    for name in names:
        value = function.__globals__.get(name)
        yield name
        if not isinstance(value, types.ModuleType):
            yield from _pieces(value, seen)
        elif value.__name__.partition(".")[0] not in _LIBRARIES:
            for attribute in names:
                yield from _pieces(getattr(value, attribute, None), seen)


def _names(code: types.CodeType) -> Iterator[str]:
    """The names that a function and the functions inside it look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


@intrinsic
def fetch_add(typing: Any, counter: Any) -> Any:
    """The value of `counter[0]`, which is then one more: atomic, for threads that share work.

    `counter` is a one-element int64 array.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return numba.types.int64(numba.types.Array(numba.types.int64, 1, "C")), codegen


@intrinsic(prefer_literal=True)
def local(typing: Any, size: Any) -> Any:
    """An array of `size` numbers on the stack, a constant; not checked, and LLVM may hold them in registers."""
    kind = numba.types.Array(numba.types.float64, 1, "C")

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        out = context.make_array(kind)(context, builder)
        out.data = cgutils.alloca_once(builder, ir.DoubleType(), word(max(1, size.literal_value)))
        out.nitems, out.itemsize = word(size.literal_value), word(8)
        out.shape = cgutils.pack_array(builder, [word(size.literal_value)])
        out.strides = cgutils.pack_array(builder, [word(8)])
        out.meminfo, out.parent = (cgutils.get_null_value(kept.type) for kept in (out.meminfo, out.parent))
        return out._getvalue()

    return kind(size), codegen


@intrinsic(prefer_literal=True)
def strided(typing: Any, numbers: Any, first: Any, size: Any, stride: Any) -> Any:
    """A view of `size` numbers of a flat array, `stride` apart, from number `first` on; not checked.

    `size` and `stride` are constants, so LLVM knows where the numbers are.
    """
    view = numba.types.Array(numba.types.float64, 1, "A")

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def word(number: int) -> Any:
            return ir.Constant(ir.IntType(64), number)

        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        out = context.make_array(view)(context, builder)
        out.data = builder.gep(array.data, [arguments[1]])
        out.nitems, out.itemsize = word(size.literal_value), word(8)
        out.shape = cgutils.pack_array(builder, [word(size.literal_value)])
        out.strides = cgutils.pack_array(builder, [word(8 * stride.literal_value)])
        out.meminfo, out.parent = (cgutils.get_null_value(kept.type) for kept in (out.meminfo, out.parent))
        return out._getvalue()

    return view(numbers, numba.types.intp, size, stride), codegen


@intrinsic
def call_c(typing: Any, function: Any, first: Any, second: Any) -> Any:
    """Call the C function `void f(void *, void *)` at an address; all three arguments are addresses."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, pointer]).as_pointer()
        target = builder.inttoptr(arguments[0], kind)
        builder.call(target, [builder.inttoptr(argument, pointer) for argument in arguments[1:]])
        return context.get_dummy_value()

    int64 = numba.types.int64
    return numba.types.void(int64, int64, int64), codegen
