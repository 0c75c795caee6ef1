"""What the stages leave, alone and chained in its order, is what the logits processors of transformers leave.

A token whose place at the edge of a set is decided by less than 1e-5 may fall to either side: probabilities are
compared in single precision there. The definitions are the same with order="transformers", but for two:

- typical sampling there keeps every token that is as far from the entropy as the last one it needs; here equal ones are
  taken by the smaller token until the mass is reached. Rows with equal logits are left out.
- top-p there sorts with an unstable sort: of equal logits at the edge any may stay. Here the smaller token stays.

``min_tokens_to_keep`` is 1 in all of them, as in generation without beams, and so it is here. The repetition penalty
looks at the whole input: repetition_window=-1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sampling_comparison import Comparison

from edgellm_runtimes.sampling import SamplingParams
from sampling_reference import Context, Floats, Row
from sampling_rig import OFF, Rig, make_row

pytestmark = pytest.mark.oracle

SIZES = (2, 8, 300, 2000, 8192)
KINDS = ("peaked", "flat", "offset")
ROWS = 20
ADDED_UP_WELL = 8192  # cumsum adds up in double precision

STAGES: dict[str, list[dict[str, Any]]] = {
    "temperature": [{"temperature": value} for value in (0.2, 0.8, 1.5)],
    "top_k": [{"top_k": k} for k in (1, 5, 40, 129, 1500, 100000)],
    "top_p": [{"top_p": p} for p in (0.05, 0.5, 0.9, 0.95, 0.999)],
    "min_p": [{"min_p": p} for p in (0.001, 0.05, 0.3, 1.0)],
    "typical_p": [{"typical_p": p} for p in (0.1, 0.5, 0.9)],
    "repetition_penalty": [{"repetition_penalty": value} for value in (0.8, 1.3)],
}


def processors(params: SamplingParams) -> list[Any]:
    """In the order of ``GenerationMixin._get_logits_processor``."""
    from transformers import generation as hf

    made: list[tuple[bool, Callable[[], Any]]] = [
        (
            params.repetition_penalty != 1.0,
            lambda: hf.RepetitionPenaltyLogitsProcessor(float(params.repetition_penalty)),
        ),
        (params.temperature != 1.0, lambda: hf.TemperatureLogitsWarper(float(params.temperature))),
        (params.top_k > 0, lambda: hf.TopKLogitsWarper(params.top_k)),
        (params.top_p < 1.0, lambda: hf.TopPLogitsWarper(params.top_p)),
        (params.min_p > 0.0, lambda: hf.MinPLogitsWarper(params.min_p)),
        (params.typical_p < 1.0, lambda: hf.TypicalLogitsWarper(params.typical_p)),
    ]
    return [make() for is_on, make in made if is_on]


def softmax(scores: Any) -> Floats:
    shares: Floats = scores.double().softmax(-1).numpy()
    return shares


def their_distribution(row: Row, params: SamplingParams, tokens: list[int]) -> Floats:
    import torch

    scores = torch.tensor(row)[None]
    input_ids = torch.tensor([tokens or [len(row)]])  # one that no row has stands for an empty input
    for processor in processors(params):
        scores = processor(input_ids, scores)
    return softmax(scores[0])


def rows(rng: np.random.Generator, count: int = ROWS) -> Iterator[Row]:
    for n_vocab in SIZES:
        for kind in KINDS:
            for _ in range(count):
                yield make_row(kind, n_vocab, rng)


def params_of(options: dict[str, Any]) -> SamplingParams:
    return SamplingParams(**OFF | {"order": "transformers", "repetition_window": -1} | options)


@pytest.mark.parametrize(("stage", "options"), [(name, options) for name in STAGES for options in STAGES[name]])
def test_a_stage_leaves_what_its_processor_leaves(stage: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(len(stage))
    params, comparison = params_of(options), Comparison(ADDED_UP_WELL)
    for row in rows(rng):
        tokens = rng.integers(0, min(len(row), 50), rng.integers(0, 100)).tolist()
        context = Context(prompt=tokens[:60], generated=tokens[60:])
        ours = Rig(params, context).distribution(row)
        comparison.add(ours, their_distribution(row, params, tokens), row, params, context)
    comparison.close()


def test_top_k_keeps_every_token_as_likely_as_the_last() -> None:
    rng = np.random.default_rng(1)
    for n_vocab in SIZES:
        for kind in ("lattice", "tied", "few"):
            row = make_row(kind, n_vocab, rng)
            for k in (1, 2, 40, 1500):
                params = params_of({"top_k": k})
                ours, theirs = Rig(params).distribution(row), their_distribution(row, params, [])
                assert ((ours > 0) == (theirs > 0)).all()
                assert np.abs(ours - theirs).max() < 1e-6


def test_whole_chains_leave_what_the_processors_leave() -> None:
    rng = np.random.default_rng(2)
    choices: dict[str, Callable[[], Any]] = {
        "repetition_penalty": lambda: rng.uniform(0.8, 1.5),
        "temperature": lambda: rng.uniform(0.3, 2.0),
        "top_k": lambda: int(rng.integers(1, 3000)),
        "top_p": lambda: rng.uniform(0.05, 0.999),
        "min_p": lambda: rng.uniform(0.001, 0.3),
        "typical_p": lambda: rng.uniform(0.1, 0.99),
    }
    comparison = Comparison(ADDED_UP_WELL)
    for row in rows(rng, 150):
        params = params_of({name: make() for name, make in choices.items() if rng.random() < 0.5})
        tokens = rng.integers(0, min(len(row), 60), rng.integers(0, 80)).tolist()
        context = Context(prompt=tokens)
        ours = Rig(params, context).distribution(row)
        comparison.add(ours, their_distribution(row, params, tokens), row, params, context)
    comparison.close()


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.8, "top_k": 50, "top_p": 0.9},
        {"temperature": 1.4, "min_p": 0.02, "repetition_penalty": 1.2},
        {"temperature": 1.2, "top_k": 2000, "top_p": 0.97, "min_p": 0.001, "typical_p": 0.8},
        {"typical_p": 0.5, "repetition_penalty": 1.1},
    ],
)
def test_every_step_of_generate_leaves_the_same(tiny_llm: Path, options: dict[str, Any]) -> None:
    """The order is the one that ``generate`` really has."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_llm, dtype=torch.float32)
    torch.manual_seed(1)
    prompt = [100, 200, 300, 200, 100]
    chosen = {"top_k": 0, "top_p": 1.0, "min_p": None, "typical_p": 1.0, "temperature": 1.0} | options
    with torch.no_grad():
        said = model.generate(
            torch.tensor([prompt]),
            do_sample=True,
            max_new_tokens=40,
            min_new_tokens=40,
            output_logits=True,
            output_scores=True,
            return_dict_in_generate=True,
            **chosen,
        )
    comparison = Comparison(ADDED_UP_WELL)
    tokens = said.sequences[0].tolist()
    ends = model.generation_config.eos_token_id
    forbidden = dict.fromkeys(ends if isinstance(ends, list) else [ends], -np.inf)  # min_new_tokens
    params = params_of(options | {"logit_bias": forbidden})
    for step, (logits, scores) in enumerate(zip(said.logits, said.scores, strict=True)):
        row = logits[0].float().numpy().copy()
        context = Context(prompt=prompt, generated=tokens[len(prompt) : len(prompt) + step])
        comparison.add(Rig(params, context).distribution(row), softmax(scores[0]), row, params, context)
    comparison.close()
