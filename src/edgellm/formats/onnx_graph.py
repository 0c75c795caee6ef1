"""The graph of an ONNX model, read and changed without the onnx package: what it needs, what it gives, its tensors.

Source: onnx.proto of ONNX 1.23 (field numbers never change).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgellm.errors import ModelFileError, UsageError
from edgellm.files import read_small_file
from edgellm.formats.protobuf import Field, ProtobufError, Span, encode_field, fields, varints
from edgellm.units import format_bytes

__all__ = [
    "ELEMENT_BITS",
    "ELEMENT_NAMES",
    "BlockMatrix",
    "GraphValue",
    "OnnxGraph",
    "OnnxTensor",
    "check_data",
    "point_at",
    "read_graph",
]

_LIMIT_BYTES: Final = 256 << 20  # of a graph: its weights lie in another file
_TENSORS_LIMIT: Final = 1 << 20
_AGAIN = "fetch or pack the model again"
_DEEPEST = 8  # graphs in attributes of nodes
_EXTERNAL = 1  # TensorProto.DataLocation

ELEMENT_NAMES: Final = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64", 12: "U32",
    13: "U64", 16: "BF16", 21: "U4", 22: "I4",
}  # fmt: skip
ELEMENT_BITS: Final = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16, 21: 4, 22: 4,
}  # fmt: skip


@dataclass(frozen=True)
class OnnxTensor:
    """One initializer. ``location`` is empty where its data lies in the graph itself."""

    name: str
    type: int  # TensorProto.DataType
    shape: tuple[int, ...]
    location: str = ""
    offset_bytes: int = 0
    length_bytes: int = 0  # in the other file
    data: bytes = b""  # raw, of small tensors inside the graph

    @property
    def size_bytes(self) -> int:
        """What its elements take."""
        count = 1
        for length in self.shape:
            count *= length
        return -(-count * ELEMENT_BITS.get(self.type, 8) // 8)


@dataclass(frozen=True)
class BlockMatrix:
    """How MatMulNBits stores a matrix: ``n_rows`` rows of ``row_length`` numbers of ``bits`` bits, in blocks."""

    row_length: int
    n_rows: int
    bits: int
    block_size: int


@dataclass(frozen=True)
class GraphValue:
    """An input or an output: element type, and lengths that are numbers, or names where they may differ."""

    name: str
    type: int
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class OnnxGraph:
    """What a model file says about itself."""

    inputs: Mapping[str, GraphValue]
    outputs: Mapping[str, GraphValue]
    tensors: Mapping[str, OnnxTensor]
    metadata: Mapping[str, str]
    opsets: Mapping[str, int]  # by domain
    operators: frozenset[str]
    blocks: Mapping[str, BlockMatrix]  # by the name of the tensor with the levels

    @property
    def locations(self) -> frozenset[str]:
        """The names of the files that hold its tensors."""
        return frozenset(tensor.location for tensor in self.tensors.values() if tensor.location)

    def data_bytes(self) -> int:
        """How long the file that holds its tensors has to be at least."""
        return max((t.offset_bytes + t.length_bytes for t in self.tensors.values() if t.location), default=0)


def read_graph(path: Path, name: str = "") -> tuple[bytes, OnnxGraph]:
    """The bytes of the model file at ``path`` and what they say. ``name`` is what errors call it.

    Raises ModelFileError for a file that is torn or no ONNX model, or that has tensors outside the main graph in other
    files; NotFoundError, AccessError.
    """
    name = name or str(path)
    try:
        data = read_small_file(path, _LIMIT_BYTES, "the ONNX graph")
    except UsageError as error:
        raise ModelFileError(error.message, hint=f"its weights belong into a file of their own: {_AGAIN}") from None
    try:
        return data, _Reader(data).model()
    except (ProtobufError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{name} is no ONNX model, or is damaged: {error}", hint=_AGAIN) from error


def point_at(data: bytes, location: str, without: Collection[str]) -> bytes:
    """The model ``data`` with its external tensors in the file ``location``, and without the initializers ``without``.

    An input that also has an initializer may be left out by a caller, and cannot be bound to memory of ours.
    """
    model = bytearray()
    for item in fields(data):
        if item.number == 7:
            model += encode_field(7, _graph_at(data, item.payload, location.encode(), without))
        else:
            model += data[slice(*item.whole)]
    return bytes(model)


def _graph_at(data: bytes, span: Span, location: bytes, without: Collection[str]) -> bytes:
    graph = bytearray()
    for item in fields(data, span):
        if item.number == 5:
            graph += _initializer_at(data, item, location, without)
        else:
            graph += data[slice(*item.whole)]
    return bytes(graph)


def _initializer_at(data: bytes, item: Field, location: bytes, without: Collection[str]) -> bytes:
    tensor, is_external = bytearray(), False
    for part in fields(data, item.payload):
        raw = data[slice(*part.whole)]
        if part.number == 8 and data[slice(*part.payload)].decode() in without:
            return b""
        if part.number == 13 and _entry(data, part.payload)[0] == "location":
            is_external = True
            raw = encode_field(13, encode_field(1, b"location") + encode_field(2, location))
        tensor += raw
    return encode_field(5, bytes(tensor)) if is_external else data[slice(*item.whole)]


def _entry(data: bytes, span: Span) -> tuple[str, str]:
    """A StringStringEntryProto."""
    found = {item.number: data[slice(*item.payload)].decode() for item in fields(data, span)}
    return found.get(1, ""), found.get(2, "")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._blocks: dict[str, BlockMatrix] = {}

    def model(self) -> OnnxGraph:
        graph: Span | None = None
        metadata, opsets = dict[str, str](), dict[str, int]()
        for item in fields(self._data):
            if item.number == 7:
                graph = item.payload
            elif item.number == 8:
                parts = {part.number: part for part in fields(self._data, item.payload)}
                domain = self._text(parts[1].payload) if 1 in parts else ""
                opsets[domain] = parts[2].value if 2 in parts else 0
            elif item.number == 14:
                key, value = _entry(self._data, item.payload)
                metadata[key] = value
        if graph is None or not opsets:
            raise ProtobufError("it has no graph")
        inputs, outputs, tensors = dict[str, GraphValue](), dict[str, GraphValue](), dict[str, OnnxTensor]()
        operators: set[str] = set()
        for item in fields(self._data, graph):
            if item.number == 1:
                operators.add(self._operator(item.payload))
            elif item.number == 5:
                tensor = self._tensor(item.payload)
                tensors[tensor.name] = tensor
            elif item.number in (11, 12):
                found = self._value(item.payload)
                (inputs if item.number == 11 else outputs)[found.name] = found
        if len(tensors) > _TENSORS_LIMIT:
            raise ProtobufError(f"it has {len(tensors)} tensors")
        return OnnxGraph(inputs, outputs, tensors, metadata, opsets, frozenset(operators), self._blocks)

    def _text(self, span: Span) -> str:
        return self._data[slice(*span)].decode()

    def _operator(self, span: Span, depth: int = 0) -> str:
        """The operator of a node; what its attributes hold must lie in the graph file."""
        if depth > _DEEPEST:
            raise ProtobufError("its graphs lie too deep in each other")
        name = domain = ""
        inputs, numbers = list[str](), dict[str, int]()
        for item in fields(self._data, span):
            if item.number == 1:
                inputs.append(self._text(item.payload))
            elif item.number == 4:
                name = self._text(item.payload)
            elif item.number == 7:
                domain = self._text(item.payload)
            elif item.number == 5:
                numbers |= self._attribute(item.payload, depth)
        if name == "MatMulNBits" and len(inputs) > 1:
            length, rows, bits, size = (numbers.get(key, 0) for key in ("K", "N", "bits", "block_size"))
            self._blocks[inputs[1]] = BlockMatrix(length, rows, bits or 4, size)
        return f"{domain}.{name}" if domain else name

    def _attribute(self, span: Span, depth: int) -> dict[str, int]:
        """Its number by its name, if it is one. Graphs and tensors inside are checked."""
        name, number = "", dict[str, int]()
        for item in fields(self._data, span):
            if item.number == 1:
                name = self._text(item.payload)
            elif item.number == 3:
                number[name] = item.value
            elif item.number in (5, 10):
                self._refuse_external(item.payload)
            elif item.number in (6, 11):
                for inner in fields(self._data, item.payload):
                    if inner.number == 5:
                        self._refuse_external(inner.payload)
                    elif inner.number == 1:
                        self._operator(inner.payload, depth + 1)
        return number

    def _refuse_external(self, span: Span) -> None:
        if self._tensor(span).location:
            raise ProtobufError("a tensor inside a node lies in another file")

    def _tensor(self, span: Span) -> OnnxTensor:
        name, element, shape = "", 0, list[int]()
        raw, external, entries = b"", False, dict[str, str]()
        for item in fields(self._data, span):
            if item.number == 1:
                shape += [item.value] if item.is_varint else varints(self._data, item.payload)
            elif item.number == 2:
                element = item.value
            elif item.number == 8:
                name = self._text(item.payload)
            elif item.number == 9:
                raw = self._data[slice(*item.payload)]
            elif item.number == 13:
                key, value = _entry(self._data, item.payload)
                entries[key] = value
            elif item.number == 14:
                external = item.value == _EXTERNAL
        if not external:
            return OnnxTensor(name, element, tuple(shape), data=raw)
        offset, length = entries.get("offset", "0"), entries.get("length", "")
        location = entries.get("location", "")
        if not location or not offset.isdigit() or (length and not length.isdigit()):
            raise ProtobufError(f"the place of the tensor {name[:80]!r} is not given")
        tensor = OnnxTensor(name, element, tuple(shape), location, int(offset), int(length or 0))
        return tensor if length else OnnxTensor(name, element, tuple(shape), location, int(offset), tensor.size_bytes)

    def _value(self, span: Span) -> GraphValue:
        name, element, shape = "", 0, tuple[int | str, ...]()
        for item in fields(self._data, span):
            if item.number == 1:
                name = self._text(item.payload)
            elif item.number == 2:
                for kind in fields(self._data, item.payload):
                    if kind.number == 1:
                        element, shape = self._tensor_type(kind.payload)
        return GraphValue(name, element, shape)

    def _tensor_type(self, span: Span) -> tuple[int, tuple[int | str, ...]]:
        element, shape = 0, list[int | str]()
        for item in fields(self._data, span):
            if item.number == 1:
                element = item.value
            elif item.number == 2:
                for dim in fields(self._data, item.payload):
                    found: int | str = ""
                    for part in fields(self._data, dim.payload):
                        found = part.value if part.number == 1 else self._text(part.payload)
                    shape.append(found)
        return element, tuple(shape)


def check_data(graph: OnnxGraph, size_bytes: int, name: str) -> None:
    """Raise ModelFileError when the tensors of ``graph`` cannot lie in a file of ``size_bytes``."""
    needed = graph.data_bytes()
    if size_bytes < needed:
        raise ModelFileError(
            f"{name} has {format_bytes(size_bytes)}, its graph needs {format_bytes(needed)}: it is cut off, or belongs "
            "to another graph",
            hint=_AGAIN,
        )
