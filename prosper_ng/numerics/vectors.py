"""Vectors of 8 numbers inside compiled kernels: each operation is one or two instructions, whatever the loop around it.

Small matrices that lie side by side, entry (i, j) of all of them in a stretch of `LANES` numbers, are worked on with
these. A loop over the lanes of several arrays is not compiled to vector instructions as a rule, since the compiler
cannot know that the stretches do not overlap. Products are fused with the addition that follows, so a lane has the same
bits whatever the others hold. Vectors are values of compiled code only: no kernel takes or gives one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

from prosper_ng.kernels import inner_kernel

LANES = 8


@inner_kernel
def padded(n: int) -> int:
    """n rounded up to whole vectors."""
    return -(-n // LANES) * LANES


def aligned(*shape: int) -> NDArray[np.float64]:
    """Zeros that begin where a cache line does: kernels take twice as long with vectors that lie across two of them.

    So do all rows where the last side is a number of whole vectors.
    """
    numbers = np.zeros(int(np.prod(shape)) + LANES)
    first = -numbers.ctypes.data // numbers.itemsize % LANES
    return numbers[first : first + int(np.prod(shape))].reshape(shape)


_INDEX = ir.IntType(64)
_LLVM = ir.VectorType(ir.DoubleType(), LANES)
_WORDS = ir.VectorType(_INDEX, LANES)


class _VectorType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"Vector{LANES}")


_VECTOR = _VectorType()


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _LLVM)


def _place(context: Any, builder: Any, kind: Any, array: Any, *indices: Any) -> Any:
    """Where an entry lies; indices count from the start and are not checked."""
    own = context.make_array(kind)(context, builder, array)
    strides = cgutils.unpack_tuple(builder, own.strides)
    offset = ir.Constant(_INDEX, 0)
    for index, stride in zip(indices, strides, strict=False):
        offset = builder.add(offset, builder.mul(index, stride))
    return cgutils.pointer_add(builder, own.data, offset)


def _whole(builder: Any, pointer: Any) -> Any:
    return builder.bitcast(pointer, _LLVM.as_pointer())


@intrinsic
def load(typingctx: Any, array: Any, i: Any, j: Any) -> Any:
    """Vector (i, j) of an array (m, n, LANES), or that from entry (i, j) on of an array (m, n)."""
    return _VECTOR(array, types.int64, types.int64), _loading


@intrinsic
def load_row(typingctx: Any, array: Any, i: Any) -> Any:
    """Vector i of an array (m, LANES), or that from entry i on of an array (m,)."""
    return _VECTOR(array, types.int64), _loading


@intrinsic
def store(typingctx: Any, array: Any, i: Any, j: Any, value: Any) -> Any:
    """Put a vector where `load` finds it."""
    return types.void(array, types.int64, types.int64, _VECTOR), _storing


@intrinsic
def store_row(typingctx: Any, array: Any, i: Any, value: Any) -> Any:
    """Put a vector in place i of an array (m, LANES)."""
    return types.void(array, types.int64, _VECTOR), _storing


@intrinsic
def prefetch(typingctx: Any, array: Any, i: Any, j: Any) -> Any:
    """Have the cache line in which entry (i, j) of an array (m, n) lies brought near, for what is worked on next."""
    return types.void(array, types.int64, types.int64), _prefetching


@inner_kernel
def prefetch_row(array: Any, i: int) -> None:
    """Have row i of an array (m, n) brought near."""
    for j in range(0, array.shape[1], LANES):
        prefetch(array, i, j)


def _prefetching(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    flag, byte = ir.IntType(32), ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
    function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
    place = builder.bitcast(_place(context, builder, signature.args[0], *args), byte)
    builder.call(function, [place, *(ir.Constant(flag, each) for each in (0, 3, 1))])  # to read, often, numbers
    return context.get_dummy_value()


def _loading(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    # Arrays begin where they begin: instructions must not count on 64 bytes.
    return builder.load(_whole(builder, _place(context, builder, signature.args[0], *args)), align=8)


def _storing(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    place = _place(context, builder, signature.args[0], *args[:-1])
    builder.store(args[-1], _whole(builder, place), align=8)
    return context.get_dummy_value()


def _gathered(context: Any, builder: Any, kind: Any, array: Any, indices: Any) -> Any:
    """A vector of the entries at the places that `indices(lane)` gives."""
    result = ir.Constant(_LLVM, ir.Undefined)
    for lane in range(LANES):
        value = builder.load(_place(context, builder, kind, array, *indices(lane)))
        result = builder.insert_element(result, value, ir.Constant(ir.IntType(32), lane))
    return result


@intrinsic
def gather(typingctx: Any, vector: Any, places: Any, i: Any) -> Any:
    """Entries `places[i, lane]` of an array (m,)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args

        def indices(lane: int) -> Any:
            at = _place(context, builder, kinds[1], args[1], args[2], ir.Constant(_INDEX, lane))
            return (builder.load(at),)

        return _gathered(context, builder, kinds[0], args[0], indices)

    return _VECTOR(vector, places, types.int64), codegen


@intrinsic
def gather_pairs(typingctx: Any, matrix: Any, rows: Any, i: Any, columns: Any, j: Any) -> Any:
    """Entries `[rows[i, lane], columns[j, lane]]` of an array (m, n)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args

        def indices(lane: int) -> Any:
            number = ir.Constant(_INDEX, lane)
            row = _place(context, builder, kinds[1], args[1], args[2], number)
            column = _place(context, builder, kinds[3], args[3], args[4], number)
            return builder.load(row), builder.load(column)

        return _gathered(context, builder, kinds[0], args[0], indices)

    return _VECTOR(matrix, rows, types.int64, columns, types.int64), codegen


@intrinsic
def mantissa(typingctx: Any, x: Any) -> Any:
    """The numbers m from 1 to 2, 2 not included, of x = ± m 2^n; of 0 and of what is not normal any such number."""

    def made(builder: Any, x: Any) -> Any:
        digits = builder.and_(builder.bitcast(x, _WORDS), _words((1 << 52) - 1))
        return builder.bitcast(builder.or_(digits, _words(1023 << 52)), _LLVM)

    return _operation(1, made)


@intrinsic
def exponents_of_lanes(typingctx: Any, x: Any) -> Any:
    """The sum of the n of positive normal x = m 2^n, 1 <= m < 2."""

    def made(builder: Any, x: Any) -> Any:
        biased = builder.lshr(builder.bitcast(x, _WORDS), _words(52))
        return builder.sub(_folded(builder, builder.add, biased), _INDEX(LANES * 1023))

    return _operation(1, made, types.int64)


@intrinsic
def power_of_two(typingctx: Any, x: Any) -> Any:
    """2^n for the whole numbers n, from -1022 to 1023, in the lowest bits of x."""

    def made(builder: Any, x: Any) -> Any:
        biased = builder.add(builder.bitcast(x, _WORDS), _words(1023))
        return builder.bitcast(builder.shl(biased, _words(52)), _LLVM)

    return _operation(1, made)


@intrinsic
def look_up(typingctx: Any, table: Any, x: Any, mask: Any) -> Any:
    """The entries of an array (m,) at the places which the sign, exponent and first four digits of x are, as a number.

    Of these 16 bits only those of `mask` count.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = builder.lshr(builder.bitcast(args[1], _WORDS), _words(48))
        places = builder.and_(first, _spread(builder, args[2], _WORDS))
        start = context.make_array(signature.args[0])(context, builder, args[0]).data
        first = _spread(builder, builder.ptrtoint(start, _INDEX), _WORDS)
        pointers = builder.inttoptr(
            builder.add(first, builder.shl(places, _words(3))), ir.VectorType(ir.DoubleType().as_pointer(), LANES)
        )
        every = ir.VectorType(ir.IntType(1), LANES)
        kind = ir.FunctionType(_LLVM, [pointers.type, ir.IntType(32), every, _LLVM])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.gather.v{LANES}f64.v{LANES}p0")
        return builder.call(
            function, [pointers, ir.IntType(32)(8), ir.Constant(every, [1] * LANES), ir.Constant(_LLVM, [0.0] * LANES)]
        )

    return _VECTOR(table, _VECTOR, types.int64), codegen


def _operation(n_vectors: int, made: Callable[..., Any], result: Any = _VECTOR) -> Any:
    """What an intrinsic returns that makes `result` of so many vectors, by what `made(builder, *vectors)` builds."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return made(builder, *args)

    return result(*[_VECTOR] * n_vectors), codegen


def _called(builder: Any, name: str, *vectors: Any) -> Any:
    """A function of LLVM that works on each entry."""
    kind = ir.FunctionType(_LLVM, [_LLVM] * len(vectors))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f64"), vectors)


@intrinsic
def plus_product(typingctx: Any, c: Any, a: Any, b: Any) -> Any:
    """c + a b."""
    return _operation(3, lambda builder, c, a, b: _called(builder, "fma", a, b, c))


@intrinsic
def minus_product(typingctx: Any, c: Any, a: Any, b: Any) -> Any:
    """c - a b."""
    return _operation(3, lambda builder, c, a, b: _called(builder, "fma", builder.fneg(a), b, c))


@intrinsic
def plus(typingctx: Any, a: Any, b: Any) -> Any:
    """a + b."""
    return _operation(2, lambda builder, a, b: builder.fadd(a, b))


@intrinsic
def minus(typingctx: Any, a: Any, b: Any) -> Any:
    """a - b."""
    return _operation(2, lambda builder, a, b: builder.fsub(a, b))


@intrinsic
def times(typingctx: Any, a: Any, b: Any) -> Any:
    """a b."""
    return _operation(2, lambda builder, a, b: builder.fmul(a, b))


@intrinsic
def over(typingctx: Any, a: Any, b: Any) -> Any:
    """a / b."""
    return _operation(2, lambda builder, a, b: builder.fdiv(a, b))


@intrinsic
def square_root(typingctx: Any, a: Any) -> Any:
    """Roots of numbers that are not negative."""
    return _operation(1, lambda builder, a: _called(builder, "sqrt", a))


@intrinsic
def larger(typingctx: Any, a: Any, b: Any) -> Any:
    """The larger of a and b; a where either is not a number."""
    return _operation(2, lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), b, a))


@intrinsic
def smaller(typingctx: Any, a: Any, b: Any) -> Any:
    """The smaller of a and b; a where either is not a number."""
    return _operation(2, lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), b, a))


@intrinsic
def where_larger(typingctx: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    """x where a is larger than b, else y."""
    return _operation(4, lambda builder, a, b, x, y: builder.select(builder.fcmp_ordered(">", a, b), x, y))


@intrinsic
def exceeds(typingctx: Any, a: Any, b: Any) -> Any:
    """Whether any entry of a is larger than the same one of b."""
    bits = ir.IntType(LANES)

    def made(builder: Any, a: Any, b: Any) -> Any:
        return builder.icmp_unsigned("!=", builder.bitcast(builder.fcmp_ordered(">", a, b), bits), bits(0))

    return _operation(2, made, types.boolean)


@intrinsic
def sum_of_lanes(typingctx: Any, a: Any) -> Any:
    """The sum of the entries of a."""
    return _operation(1, lambda builder, a: _folded(builder, builder.fadd, a), types.float64)


@intrinsic
def product_of_lanes(typingctx: Any, a: Any) -> Any:
    """The product of the entries of a."""
    return _operation(1, lambda builder, a: _folded(builder, builder.fmul, a), types.float64)


@intrinsic
def magnitude(typingctx: Any, a: Any) -> Any:
    """|a|."""
    return _operation(1, lambda builder, a: _called(builder, "fabs", a))


@intrinsic
def all_lanes(typingctx: Any, x: Any) -> Any:
    """A vector of one number."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _spread(builder, args[0], _LLVM)

    return _VECTOR(types.float64), codegen


def _spread(builder: Any, number: Any, kind: Any) -> Any:
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def _folded(builder: Any, operation: Callable[..., Any], a: Any) -> Any:
    """All entries of a brought together, halves first."""
    for step in (4, 2, 1):
        turned = [(lane + step) % LANES for lane in range(LANES)]
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), turned)
        a = operation(a, builder.shuffle_vector(a, ir.Constant(a.type, ir.Undefined), mask))
    return builder.extract_element(a, ir.Constant(ir.IntType(32), 0))


def _words(word: int) -> Any:
    return ir.Constant(_WORDS, [word] * LANES)
