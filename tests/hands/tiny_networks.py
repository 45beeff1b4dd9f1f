"""Small ``.tflite`` files for tests, written by hand: a FlatBuffer from dictionaries."""

import struct

import numpy as np

CODES = {"ADD": 0, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 4, "DEQUANTIZE": 6, "PRELU": 54, "CUSTOM": 32}
TYPES = {"float32": 0, "float16": 1, "int32": 2}


def table(content: bytearray, fields: dict[int, object]) -> int:
    """Append a table (field number → ``(struct format, number)``, bytes, an array, a dictionary for
    a table, or a list of them) and return where it begins."""
    slots = max(fields, default=-1) + 1
    layout, size = {}, 4
    for number, value in fields.items():
        width = struct.calcsize(value[0]) if isinstance(value, tuple) else 4
        size += -size % width
        layout[number], size = size, size + width
    content += bytes(-len(content) % 4)
    vtable = len(content)
    offsets = [layout.get(number, 0) for number in range(slots)]
    content += struct.pack(f"<HH{slots}H", 4 + 2 * slots, size, *offsets)
    content += bytes(-len(content) % 8)
    start = len(content)
    content += struct.pack("<i", start - vtable) + bytes(size - 4)
    for number, value in fields.items():
        place = start + layout[number]
        if isinstance(value, tuple):
            struct.pack_into(f"<{value[0]}", content, place, value[1])
            continue
        at = table(content, value) if isinstance(value, dict) else vector(content, value)
        struct.pack_into("<I", content, place, at - place)
    return start


def vector(content: bytearray, values: object) -> int:
    content += bytes(-len(content) % 4)
    start = len(content)
    if isinstance(values, list):
        content += struct.pack("<I", len(values)) + bytes(4 * len(values))
        for number, value in enumerate(values):
            place = start + 4 + 4 * number
            struct.pack_into("<I", content, place, table(content, value) - place)
        return start
    if isinstance(values, bytes):
        values = np.frombuffer(values, np.uint8)
    content += struct.pack("<I", len(values)) + values.tobytes()
    return start


class Model:
    """A graph that grows operator by operator; ``content()`` is its file."""

    def __init__(self, *input_shape: int) -> None:
        self.tensors: list[dict] = []
        self.buffers: list[dict] = [{}]
        self.operators: list[dict] = []
        self.codes: list[str] = []
        self.last = self.tensor(input_shape)

    def tensor(self, shape, values: np.ndarray | None = None, name: bytes = b"") -> int:
        buffer, kind = 0, "float32"
        if values is not None:
            buffer, kind = len(self.buffers), values.dtype.name
            self.buffers.append({0: values.tobytes()})
        shape = np.array(shape, np.int32)
        self.tensors.append({0: shape, 1: ("b", TYPES[kind]), 2: ("I", buffer), 3: name})
        return len(self.tensors) - 1

    def half(self, values: np.ndarray) -> int:
        """A constant in float16 behind a DEQUANTIZE, as converters store it."""
        return self.add(
            "DEQUANTIZE", [self.tensor(values.shape, values.astype(np.float16))], values.shape
        )

    def add(self, kind: str, inputs: list[int], shape, options: dict | None = None) -> int:
        if kind not in self.codes:
            self.codes.append(kind)
        output = self.tensor(shape)
        fields = {
            0: ("I", self.codes.index(kind)),
            1: np.array(inputs, np.int32),
            2: np.array([output], np.int32),
        }
        self.operators.append(fields | ({4: options} if options else {}))
        return output

    def content(self, *outputs: int) -> bytes:
        for number, output in enumerate(outputs):
            self.tensors[output][3] = b"Identity_%d" % number
        graph = {0: self.tensors, 1: np.array([0], np.int32), 3: self.operators}
        graph[2] = np.array(outputs, np.int32)
        codes = [{0: ("b", CODES[kind]), 3: ("i", CODES[kind])} for kind in self.codes]
        content = bytearray(8)
        root = table(content, {0: ("I", 3), 1: codes, 2: [graph], 4: self.buffers})
        content[:8] = struct.pack("<I", root) + b"TFL3"
        return bytes(content)
