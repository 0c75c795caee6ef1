"""Token ids -> rows of the embedding matrix, also of a quantized one that is the output matrix as well."""

from __future__ import annotations

from edgellm_converters.onnx.encoding import Form
from edgellm_converters.onnx.graph import CONTRIB, Graph
from edgellm_converters.onnx.weights import Weight

__all__ = ["embed"]


def embed(graph: Graph, ids: str, matrix: Weight, output: str) -> str:
    """Rows of ``matrix`` [n_rows, row_length] for int64 ``ids`` [batch, tokens]; gives [batch, tokens, row_length].

    Levels are looked up as MatMulNBits wants them, [n_rows, blocks, bytes]: reshaping them would be a copy of the whole
    matrix when the model is loaded. The scales are small.
    """
    names = graph.weight(matrix)
    if matrix.encoding.form is not Form.BLOCKS:
        return graph.node("Gather", [names[0], ids], output, axis=0)
    blocks = matrix.encoding.n_blocks(matrix.row_length)
    per_block = graph.integers([matrix.n_rows, blocks, 1])
    inputs = [names[0], ids, graph.node("Reshape", [names[1], per_block], f"{output}.scales")]
    if not matrix.encoding.symmetric:
        inputs.append(graph.node("Reshape", [names[2], per_block], f"{output}.zero_points"))
    in_blocks = graph.node(
        "GatherBlockQuantized",
        inputs,
        f"{output}.blocks",
        domain=CONTRIB,
        bits=matrix.encoding.bits,
        block_size=matrix.encoding.block_size,
        gather_axis=0,
        quantize_axis=2,
    )
    padded = blocks * matrix.encoding.block_size
    whole = output if padded == matrix.row_length else f"{output}.padded"
    graph.node("Reshape", [in_blocks, graph.integers([0, 0, padded])], whole)
    if padded == matrix.row_length:
        return whole
    ends = [graph.integers([number]) for number in (0, matrix.row_length, 2)]
    return graph.node("Slice", [whole, *ends], output)
