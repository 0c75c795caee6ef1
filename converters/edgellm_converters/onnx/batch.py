"""The inputs that describe a batch, and what the layers need to know of it."""

from __future__ import annotations

from dataclasses import dataclass

from edgellm_converters.onnx.element_types import INT32, INT64
from edgellm_converters.onnx.graph import Graph

__all__ = ["Batch", "batch_inputs"]

_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1


@dataclass(frozen=True)
class Batch:
    """Names of values."""

    ids: str  # int64 [batch, tokens]
    last_positions: str  # see attention.Rows
    longest: str
    query_lens: str
    wanted: str  # int64 [positions]: which of the batch * tokens positions get hidden states
    n_logits: str  # int64 [1]: so many of them, the first ones, get logits too


def batch_inputs(graph: Graph) -> Batch:
    """Declare the inputs.

    - ``input_ids`` int64 [batch, tokens], rows filled up at the end.
    - ``attention_mask`` int64 [batch, all tokens]: as many ones in a row as its sequence has tokens, new ones included.
    - ``query_lens`` int32 [batch], optional: how many of a row's ids are new tokens; all of them without it.
    - ``logits_indices`` int64 [positions], optional: positions row * tokens + column that get hidden states and logits,
      none of them negative; without it the last new token of every row.
    - ``logits_count`` int64 [1], optional: how many of these, from the first on, get logits; all without it.
    """
    ids = graph.input("input_ids", INT64, ["batch", "tokens"])
    mask = graph.input("attention_mask", INT64, ["batch", "total_tokens"])
    lens = graph.input("query_lens", INT32, ["query_rows"], default=[_INT32_MAX])
    indices = graph.input("logits_indices", INT64, ["logits_rows"], default=[-1])
    n_logits = graph.input("logits_count", INT64, [1], default=[_INT64_MAX])

    lengths = graph.node("ReduceSum", [mask, graph.integers([1])], "batch.lengths", keepdims=0)
    last = graph.node("Sub", [lengths, graph.integers([1])], "batch.last_positions.int64")
    last_positions = graph.node("Cast", [last], "batch.last_positions", to=INT32)
    width = graph.node("Shape", [mask], "batch.total_tokens", start=1, end=2)
    scalar = graph.node("Squeeze", [width], "batch.longest.int64")
    longest = graph.node("Cast", [scalar], "batch.longest", to=INT32)

    n_rows = graph.node("Shape", [ids], "batch.rows", start=0, end=1)
    n_columns = graph.node("Shape", [ids], "batch.columns", start=1, end=2)
    columns = graph.node("Cast", [n_columns], "batch.columns.int32", to=INT32)
    capped = graph.node("Min", [lens, columns], "batch.query_lens.capped")
    query_lens = graph.node("Expand", [capped, n_rows], "batch.query_lens")
    wanted = _wanted(graph, indices, query_lens, n_rows, n_columns)
    return Batch(ids, last_positions, longest, query_lens, wanted, n_logits)


def _wanted(graph: Graph, indices: str, query_lens: str, n_rows: str, n_columns: str) -> str:
    """``indices``, or the last new token of every row when they are the default, a single negative number.

    Both lie one behind the other and a slice takes one of them: an If node would cost more than it saves.
    """
    zero, one = graph.integers([0], scalar=True), graph.integers([1], scalar=True)
    count = graph.node("Squeeze", [n_rows], "wanted.rows")
    row = graph.node("Range", [zero, count, one], "wanted.row")
    start = graph.node("Mul", [row, n_columns], "wanted.row_start")
    lens = graph.node("Cast", [query_lens], "wanted.query_lens", to=INT64)
    end = graph.node("Add", [start, lens], "wanted.row_end")
    last = graph.node("Sub", [end, one], "wanted.last")
    both = graph.node("Concat", [indices, last], "wanted.both", axis=0)
    negative = graph.node("Less", [indices, zero], "wanted.negative")
    numbers = graph.node("Cast", [negative], "wanted.negative.int64", to=INT64)
    is_default = graph.node("ReduceSum", [numbers, graph.integers([0])], "wanted.is_default", keepdims=1)
    n_given = graph.node("Shape", [indices], "wanted.given")
    first = graph.node("Mul", [is_default, n_given], "wanted.slice_start")
    more = graph.node("Mul", [is_default, n_rows], "wanted.more")
    stop = graph.node("Add", [n_given, more], "wanted.slice_end")
    return graph.node("Slice", [both, first, stop], "wanted")
