"""A linear layer as a node: which one depends on how its matrix is stored."""

from __future__ import annotations

from edgellm_converters.onnx.encoding import Form
from edgellm_converters.onnx.graph import CONTRIB, Graph
from edgellm_converters.onnx.weights import Weight

__all__ = ["ACCURACY_INT8", "linear"]

ACCURACY_INT8 = 4
"""MatMulNBits' accuracy level: activations are rounded to int8 block by block and multiplied as integers."""


def linear(graph: Graph, value: str, matrix: Weight, bias: Weight | None, output: str, accuracy: int) -> str:
    """``value`` [..., row_length] times the transposed ``matrix``, plus ``bias``: ``output`` [..., n_rows]."""
    names = graph.weight(matrix)
    bias_name = graph.weight(bias)[0] if bias is not None else ""
    form = matrix.encoding.form
    if form is Form.BLOCKS:
        return _blocks(graph, value, matrix, names, bias_name, output, accuracy)
    if form is Form.COLUMNS:
        inputs = [value, names[0], names[1], "", bias_name]
        return graph.node("DynamicQuantizeMatMul", _trimmed(inputs), output, domain=CONTRIB)
    product = f"{output}.product" if bias_name else output
    graph.node("FusedMatMul", [value, names[0]], product, domain=CONTRIB, transB=1)
    return graph.node("Add", [product, bias_name], output) if bias_name else product


def _blocks(
    graph: Graph, value: str, matrix: Weight, names: tuple[str, ...], bias: str, output: str, accuracy: int
) -> str:
    zero_points = names[2] if len(names) > 2 else ""
    inputs = [value, names[0], names[1], zero_points, "", bias]
    return graph.node(
        "MatMulNBits",
        _trimmed(inputs),
        output,
        domain=CONTRIB,
        K=matrix.row_length,
        N=matrix.n_rows,
        bits=matrix.encoding.bits,
        block_size=matrix.encoding.block_size,
        accuracy_level=accuracy,
    )


def _trimmed(inputs: list[str]) -> list[str]:
    """Without the absent inputs at the end."""
    while not inputs[-1]:
        inputs.pop()
    return inputs
