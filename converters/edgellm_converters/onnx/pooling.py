"""From the hidden states of the tokens of texts to one vector for each text."""

from __future__ import annotations

from edgellm.formats.encoders import Pooling
from edgellm_converters.onnx.element_types import FLOAT
from edgellm_converters.onnx.graph import Graph

__all__ = ["pool_texts"]

_LEAST_LENGTH = 1e-12  # as torch.nn.functional.normalize


def pool_texts(graph: Graph, states: str, mask: str, pooling: Pooling, *, normalise: bool, output: str) -> str:
    """Pool ``states`` [batch, tokens, width] where ``mask`` int64 [batch, tokens] is 1: ``output`` [batch, width]."""
    pooled = f"{output}.pooled" if normalise else output
    one = graph.integers([1])
    if pooling == "mean":
        _mean(graph, states, mask, pooled)
    elif pooling == "cls":
        graph.node("Gather", [states, graph.integers([0], scalar=True)], pooled, axis=1)
    else:
        counts = graph.node("ReduceSum", [mask, one], f"{output}.counts", keepdims=1)
        last = graph.node("Sub", [counts, one], f"{output}.last")
        graph.node("GatherND", [states, last], pooled, batch_dims=1)
    if not normalise:
        return pooled
    lengths = graph.node("ReduceL2", [pooled, one], f"{output}.lengths", keepdims=1)
    least = graph.shared_floats([_LEAST_LENGTH])
    bounded = graph.node("Max", [lengths, least], f"{output}.lengths.bounded")
    return graph.node("Div", [pooled, bounded], output)


def _mean(graph: Graph, states: str, mask: str, output: str) -> None:
    one = graph.integers([1])
    numbers = graph.node("Cast", [mask], f"{output}.mask", to=FLOAT)
    columns = graph.node("Unsqueeze", [numbers, graph.integers([2])], f"{output}.mask.columns")
    kept = graph.node("Mul", [states, columns], f"{output}.kept")
    sums = graph.node("ReduceSum", [kept, one], f"{output}.sums", keepdims=0)
    counts = graph.node("ReduceSum", [numbers, one], f"{output}.counts", keepdims=1)
    bounded = graph.node("Max", [counts, graph.shared_floats([1.0])], f"{output}.counts.bounded")
    graph.node("Div", [sums, bounded], output)
