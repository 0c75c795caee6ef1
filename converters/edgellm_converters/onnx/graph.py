"""A graph under construction: nodes, small constants, and the weights that it wants from the data file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgellm_converters.onnx.element_types import FLOAT, INT64
from edgellm_converters.onnx.weights import DATA_NAME, Placed, Weight, place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

__all__ = ["CONTRIB", "Graph"]

CONTRIB = "com.microsoft"
_IR_VERSION = 11
_OPSETS = {"": 23, CONTRIB: 1}
_PRODUCER = "edgellm"

Dims = Sequence[int | str]


class Graph:
    """Collects what becomes a ModelProto. Values are named by their producers; names are unique."""

    def __init__(self, name: str) -> None:
        self.weights: list[Weight] = []
        self._name = name
        self._nodes: list[NodeProto] = []
        self._inputs: list[ValueInfoProto] = []
        self._outputs: list[ValueInfoProto] = []
        self._constants: dict[str, TensorProto] = {}
        self._known: dict[str, Weight] = {}

    def input(self, name: str, dtype: int, dims: Dims, default: Sequence[int] | None = None) -> str:
        """Declare an input; one with a ``default`` (int32 or int64, 1-D) may be left out by the caller."""
        from onnx import helper

        self._inputs.append(helper.make_tensor_value_info(name, dtype, list(dims)))
        if default is not None:
            self._constants[name] = helper.make_tensor(name, dtype, [len(default)], list(default))
        return name

    def output(self, name: str, dtype: int, dims: Dims) -> None:
        """Declare the value ``name`` an output."""
        from onnx import helper

        self._outputs.append(helper.make_tensor_value_info(name, dtype, list(dims)))

    def node(
        self, operator: str, inputs: Sequence[str], output: str | Sequence[str], *, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node and return the name of its (first) output. Its own name is that of the output."""
        from onnx import helper

        outputs = [output] if isinstance(output, str) else list(output)
        first = next(name for name in outputs if name)
        node = helper.make_node(operator, list(inputs), outputs, name=first, domain=domain, **attributes)
        self._nodes.append(node)
        return first

    def integers(self, values: Sequence[int], *, scalar: bool = False) -> str:
        """A constant of int64, 1-D or a scalar; equal ones are one."""
        from onnx import helper

        name = "const." + ("scalar." if scalar else "") + "_".join(map(str, values))
        if name not in self._constants:
            dims = [] if scalar else [len(values)]
            self._constants[name] = helper.make_tensor(name, INT64, dims, list(values))
        return name

    def floats(self, name: str, values: NDArray[np.float32]) -> str:
        """A constant of float32 in the graph itself: for what is small and known only when the weights are written."""
        from onnx import numpy_helper

        self._constants[name] = numpy_helper.from_array(values, name)
        return name

    def shared_floats(self, values: Sequence[float]) -> str:
        """A constant of float32, 1-D; equal ones are one."""
        from onnx import helper

        name = "const.float." + "_".join(map(repr, values))
        if name not in self._constants:
            self._constants[name] = helper.make_tensor(name, FLOAT, [len(values)], list(values))
        return name

    def weight(self, weight: Weight) -> tuple[str, ...]:
        """Ask for a weight; the names of its tensors. The same weight may be asked for again."""
        if weight.name not in self._known:
            self._known[weight.name] = weight
            self.weights.append(weight)
        return weight.tensor_names

    def placed(self) -> tuple[list[Placed], int]:
        """The tensors of the data file and its size in bytes."""
        return place(self.weights)

    def model(self, metadata: Mapping[str, str]) -> ModelProto:
        """The model; its weights are in the file ``DATA_NAME`` beside it."""
        from onnx import helper

        initializers = [*self._constants.values(), *map(_external, self.placed()[0])]
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, initializers)
        opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
        model = helper.make_model(graph, producer_name=_PRODUCER, ir_version=_IR_VERSION, opset_imports=opsets)
        helper.set_model_props(model, dict(metadata))
        return model


def _external(placed: Placed) -> TensorProto:
    from onnx import TensorProto

    tensor = TensorProto(name=placed.name, data_type=placed.part.dtype, dims=placed.part.dims)
    tensor.data_location = TensorProto.EXTERNAL
    fields = {"location": DATA_NAME, "offset": placed.offset_bytes, "length": placed.part.size_bytes}
    for key, value in fields.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor
