"""What structured output costs: the same load with a JSON schema and without, taking turns."""

from __future__ import annotations

import json
from functools import partial

from serve_bench import Bench, Load, Variant, streams_name, take_turns
from serve_load import Outcome
from serve_ours import FORMS, missing
from serve_report import OURS, Target
from serve_streams import CONTEXT, streams_load

from edgellm.errors import UnsupportedError

__all__ = ["SCHEMA", "TARGETS", "run"]

SPEED, GAP = "tokens/s", "median gap, ms"
STREAMS = (1, 4)
LABEL = "JSON schema"
OPENING = '{"items":['

_ITEM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 24},
        "count": {"type": "integer", "minimum": 0, "maximum": 9999},
        "colour": {"enum": ["red", "green", "blue"]},
        "new": {"type": "boolean"},
    },
    "required": ["name", "count", "colour", "new"],
    "additionalProperties": False,
}
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"items": {"type": "array", "items": _ITEM, "minItems": 100}},  # no answer reaches the end
        "required": ["items"],
        "additionalProperties": False,
    }
)

TARGETS = (
    Target("schema", SPEED, 0.95, ours=f"{OURS}, {LABEL}", other=OURS),
    Target("schema", SPEED, 1.0, ours=f"{OURS}, {LABEL}", other=f"llama-server, {LABEL}"),
)


async def run(bench: Bench) -> None:
    reason = missing(options=True)
    if reason is not None:
        bench.book.note(f"schema: left out, {reason}")
        return
    names = [name for name in (*bench.ours(), *bench.peers()) if name in FORMS or name == "llama-server"]
    for model in bench.chosen("qwen2.5-0.5b"):
        for streams in STREAMS[:1] if bench.quick else STREAMS:
            case = streams_name(streams)
            async with bench.open(model, CONTEXT, streams, names) as plain:
                both = [variant for one in plain for variant in (one, Variant(one, LABEL, schema=SCHEMA))]
                load = partial(_load, model, streams, case)
                keep = partial(_keep, bench, model.name, case)
                try:
                    await take_turns(bench, both, load, keep, f"schema {model.name} {case}")
                except UnsupportedError as error:
                    bench.book.note(f"schema: left out, {error}")
                    return


def _load(model: object, streams: int, case: str, round_: int) -> Load:
    return streams_load(model, streams, (case, round_))  # type: ignore[arg-type]


def _keep(bench: Bench, model: str, case: str, name: str, outcome: Outcome) -> None:
    if name.endswith(LABEL):
        for reply in outcome.replies:
            text = "".join(reply.text)
            if not "".join(text.split()).startswith(OPENING):
                raise RuntimeError(f"{name} did not follow the schema: {text[:80]!r}")
    numbers = {SPEED: outcome.tokens_per_s, GAP: outcome.median_gap_ms, "first token, ms": outcome.median_first_ms}
    bench.book.add("schema", model, case, name, **numbers)
