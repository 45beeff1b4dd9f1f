"""The graph of a network in a ``.tflite`` file: operators and constants.

The file is a FlatBuffer (https://flatbuffers.dev/internals): a *table* begins with the distance
back to its *vtable*, 16-bit numbers that say where in the table each field lies (0: it has its
default); vectors, strings and tables are reached by a 32-bit distance ahead. Which field is which:
tensorflow/compiler/mlir/lite/schema/schema.fbs, whose names are used here. Float16 constants are
widened to float32.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gesture3d.errors import Gesture3dError

_MAX_TENSORS = 10_000
_TYPES = {0: np.float32, 1: np.float16, 2: np.int32}  # TensorType
_OPERATORS = {
    **{0: "ADD", 2: "CONCATENATION", 3: "CONV_2D", 4: "DEPTHWISE_CONV_2D", 6: "DEQUANTIZE"},
    **{9: "FULLY_CONNECTED", 14: "LOGISTIC", 17: "MAX_POOL_2D", 22: "RESHAPE"},
    **{23: "RESIZE_BILINEAR", 34: "PAD", 40: "MEAN", 54: "PRELU"},
}
# Operator → option → (number of its field, struct format, default).
_STRIDES = {"padding": (0, "b", 0), "stride_w": (1, "i", 0), "stride_h": (2, "i", 0)}
_OPTIONS = {
    "ADD": {"activation": (0, "b", 0)},
    "CONCATENATION": {"axis": (0, "i", 0), "activation": (1, "b", 0)},
    "CONV_2D": _STRIDES
    | {"activation": (3, "b", 0), "dilation_w": (4, "i", 1), "dilation_h": (5, "i", 1)},
    "DEPTHWISE_CONV_2D": _STRIDES
    | {"activation": (4, "b", 0), "dilation_w": (5, "i", 1), "dilation_h": (6, "i", 1)},
    "FULLY_CONNECTED": {"activation": (0, "b", 0)},
    "MAX_POOL_2D": _STRIDES
    | {"filter_w": (3, "i", 0), "filter_h": (4, "i", 0), "activation": (5, "b", 0)},
    "MEAN": {"keep_dims": (0, "?", False)},
    "RESIZE_BILINEAR": {"align_corners": (2, "?", False), "half_pixel_centers": (3, "?", False)},
}


@dataclass(frozen=True)
class Operator:
    """One step: ``kind`` of `_OPERATORS`, the numbers of the tensors it reads and the one it makes.

    ``options`` are those of `_OPTIONS`; padding: 0 same, 1 valid; activation: 0 none, 1 ReLU,
    3 ReLU6.
    """

    kind: str
    inputs: tuple[int, ...]
    output: int
    options: dict[str, int]


@dataclass(frozen=True)
class Graph:
    """A network: operators in the order in which they run.

    Attributes:
        constants: tensor number → float32 or int32 array, as stored (NHWC, OHWI).
        shapes: tensor number → shape (NHWC).
        input: the number of the one tensor that goes in.
        outputs: names and numbers of those that come out.
    """

    operators: tuple[Operator, ...]
    constants: dict[int, np.ndarray]
    shapes: dict[int, tuple[int, ...]]
    input: int
    outputs: dict[str, int]


def read_graph(content: bytes, where: str) -> Graph:
    """The graph in the content of a ``.tflite`` file.

    Raises:
        Gesture3dError: no such file, a damaged one, or a network with other operators.
    """
    if content[4:8] != b"TFL3":
        raise Gesture3dError(f"{where}: not a .tflite file")
    try:
        return _graph(_Table.root(content))
    except (ValueError, IndexError, KeyError, struct.error, UnicodeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise Gesture3dError(f"{where}: a damaged .tflite file ({reason}); fetch it anew") from None
    except _NotKnownError as error:
        raise Gesture3dError(f"{where}: {error}, which is not read here") from None


class _NotKnownError(Exception):
    """Something that a `.tflite` file may have, and those of the hands do not."""


class _Table:
    """A table of a FlatBuffer. Reading outside of the file raises ValueError."""

    def __init__(self, content: bytes, place: int) -> None:
        self._content, self._place = content, place
        vtable = place - self._number("i", place)
        size = self._number("H", vtable)
        self._fields = [self._number("H", vtable + at) for at in range(4, size, 2)]

    @classmethod
    def root(cls, content: bytes) -> "_Table":
        return cls(content, struct.unpack_from("<I", content)[0])

    def value(self, field: int, kind: str, default: int) -> int:
        """A number: ``kind`` as in `struct`."""
        place = self._field(field)
        return default if place is None else self._number(kind, place)

    def table(self, field: int) -> "_Table | None":
        place = self._field(field)
        return None if place is None else _Table(self._content, self._follow(place))

    def tables(self, field: int) -> list["_Table"]:
        start, count = self._vector(field, 4)
        places = range(start, start + 4 * count, 4)
        return [_Table(self._content, self._follow(place)) for place in places]

    def array(self, field: int, dtype: type) -> np.ndarray:
        """A vector of numbers; empty where there is none."""
        start, count = self._vector(field, np.dtype(dtype).itemsize)
        return np.frombuffer(self._content, np.dtype(dtype).newbyteorder("<"), count, start)

    def text(self, field: int) -> str:
        return self.array(field, np.uint8).tobytes().decode()

    def _field(self, field: int) -> int | None:
        offset = self._fields[field] if field < len(self._fields) else 0
        return self._place + offset if offset else None

    def _vector(self, field: int, itemsize: int) -> tuple[int, int]:
        place = self._field(field)
        if place is None:
            return 0, 0
        start = self._follow(place)
        count = self._number("I", start)
        if start + 4 + count * itemsize > len(self._content):
            raise ValueError("cut off")
        return start + 4, count

    def _follow(self, place: int) -> int:
        return place + self._number("I", place)

    def _number(self, kind: str, place: int) -> int:
        if not 0 <= place <= len(self._content) - struct.calcsize(kind):
            raise ValueError("cut off")
        return struct.unpack_from(f"<{kind}", self._content, place)[0]


def _graph(model: _Table) -> Graph:
    subgraphs = model.tables(2)
    if len(subgraphs) != 1:
        raise _NotKnownError(f"{len(subgraphs)} graphs in one file")
    graph = subgraphs[0]
    tensors = graph.tables(0)
    if len(tensors) > _MAX_TENSORS:
        raise ValueError(f"{len(tensors):,} tensors")
    shapes = {n: _shape(tensor) for n, tensor in enumerate(tensors)}
    buffers = model.tables(4)
    stored = {}
    for number, tensor in enumerate(tensors):
        data = buffers[tensor.value(2, "I", 0)].array(0, np.uint8)
        if len(data):
            stored[number] = _constant(tensor, data, shapes[number])
    codes = [_kind(code) for code in model.tables(1)]
    operators = _without_dequantize(_operators(graph, codes), stored)
    inputs, outputs = graph.array(1, np.int32), graph.array(2, np.int32)
    if len(inputs) != 1:
        raise _NotKnownError(f"{len(inputs)} inputs")
    names = {tensors[number].text(3): int(number) for number in outputs}
    _check_order(operators, {int(inputs[0]), *stored}, names.values(), len(tensors))
    used = {number for operator in operators for number in operator.inputs}
    constants = {n: values for n, values in stored.items() if n in used}
    return Graph(tuple(operators), constants, shapes, int(inputs[0]), names)


def _shape(tensor: _Table) -> tuple[int, ...]:
    shape = tuple(int(size) for size in tensor.array(0, np.int32))
    if min(shape, default=1) < 1 or math.prod(shape) > 1 << 28:
        raise ValueError(f"a tensor of shape {shape}")
    return shape


def _constant(tensor: _Table, data: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    number = tensor.value(1, "b", 0)
    if number not in _TYPES:
        raise _NotKnownError(f"numbers of type {number}")
    if len(data) != math.prod(shape) * np.dtype(_TYPES[number]).itemsize:
        raise ValueError(f"{len(data):,} bytes for the shape {shape}")
    values = np.frombuffer(data.tobytes(), _TYPES[number]).reshape(shape)
    if not np.isfinite(values).all():
        raise ValueError("a constant is not finite")
    return values.astype(np.int32 if _TYPES[number] is np.int32 else np.float32)


def _kind(code: _Table) -> str:
    number = max(code.value(0, "b", 0), code.value(3, "i", 0))  # the first holds 127 at most
    if number not in _OPERATORS:
        raise _NotKnownError(f"the operator {number}")
    return _OPERATORS[number]


def _operators(graph: _Table, codes: list[str]) -> Iterator[Operator]:
    for operator in graph.tables(3):
        kind = codes[operator.value(0, "I", 0)]
        inputs = tuple(int(number) for number in operator.array(1, np.int32))
        (output,) = operator.array(2, np.int32)
        table = operator.table(4)
        options = {
            name: (table.value(*how) if table else how[2])
            for name, how in _OPTIONS.get(kind, {}).items()
        }
        if options.get("activation", 0) not in (0, 1, 3) or options.get("padding", 0) not in (0, 1):
            raise _NotKnownError(f"{kind} with the options {options}")
        yield Operator(kind, inputs, int(output), options)


def _without_dequantize(
    operators: Iterator[Operator], stored: dict[int, np.ndarray]
) -> list[Operator]:
    """Float16 constants are float32 already: who reads the widened ones reads them at once."""
    same: dict[int, int] = {}
    kept = []
    for operator in operators:
        if operator.kind == "DEQUANTIZE" and operator.inputs[0] in stored:
            same[operator.output] = operator.inputs[0]
            continue
        inputs = tuple(same.get(number, number) for number in operator.inputs)
        kept.append(Operator(operator.kind, inputs, operator.output, operator.options))
    return kept


def _check_order(
    operators: list[Operator], known: set[int], outputs: Iterator[int], count: int
) -> None:
    for operator in operators:
        if not known.issuperset(operator.inputs) or not 0 <= operator.output < count:
            raise ValueError(f"{operator.kind} reads what nothing has made")
        known.add(operator.output)
    if not known.issuperset(outputs):
        raise ValueError("nothing makes an output")
