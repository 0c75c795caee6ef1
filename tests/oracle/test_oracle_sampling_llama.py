"""What each sampling stage leaves, alone and in chains, is what llama.cpp's samplers leave: tokens and probabilities.

A token whose place at the edge of a set is decided by less than 1e-5 may fall to either side. llama.cpp adds
probabilities up in single precision, one by one: above 2,000 tokens its sums are off by more (3e-4 at top-p 0.999 of
151,936), so there its edge is wider. Where both differ, ours must be what exact sums give.

Where llama.cpp does something else, on purpose or by accident, these tests step around it:

- top-n-sigma keeps what it takes away as candidates at -inf. Dynamic temperature then counts them all the same, and
  typical sampling computes 0 * log(0) and compares with NaN. Here they are gone.
- Of equal logits at the edge of top-k an unstable sort picks; here the smaller token stays.
- A window of -1, all tokens, turns penalties and DRY off; the chain to compare with gets the number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_chain import ChainSampler
from sampling_comparison import SLACK, Comparison, differs

from edgellm_runtimes import _sampling
from edgellm_runtimes.backend import BackendSettings
from edgellm_runtimes.dry import DryBreakers
from edgellm_runtimes.sampling import SamplingParams
from sampling_reference import Context, Floats, Row, dense
from sampling_rig import OFF, Rig, make_row

pytestmark = pytest.mark.oracle

SIZES = (2, 8, 300, 2000, 8192)
KINDS = ("peaked", "flat", "offset")
ROWS = 20  # of each size and kind
ADDED_UP_WELL = 2000

STAGES: dict[str, list[dict[str, Any]]] = {
    "nothing": [{}],
    "temperature": [{"temperature": value} for value in (0.2, 0.8, 1.5)],
    "dynamic temperature": [
        {"temperature": 0.9, "dynamic_temperature_range": 0.4},
        {"temperature": 0.5, "dynamic_temperature_range": 0.7, "dynamic_temperature_exponent": 2.0},
    ],
    "top-k": [{"top_k": k} for k in (1, 5, 40, 128, 129, 1500, 100000)],
    "top-p": [{"top_p": p} for p in (0.05, 0.5, 0.9, 0.95, 0.999)],
    "min-p": [{"min_p": p} for p in (0.001, 0.05, 0.3, 1.0)],
    "typical-p": [{"typical_p": p} for p in (0.1, 0.5, 0.9)],
    "top-n-sigma": [{"top_n_sigma": n} for n in (0.5, 1.0, 3.0)],
    "xtc": [{"xtc_probability": 1.0, "xtc_threshold": t} for t in (0.001, 0.02, 0.1)],
    "logit bias": [{"logit_bias": {0: 2.5, 1: -np.inf, 5: -3.0, 7000: 4.0, 10**6: 1.0}}],
    "greedy": [{"temperature": 0.0}],
    "the defaults": [{"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05}],
}


def rows(rng: np.random.Generator, count: int = ROWS, kinds: tuple[str, ...] = KINDS) -> Iterator[Row]:
    for n_vocab in SIZES:
        for kind in kinds:
            for _ in range(count):
                yield make_row(kind, n_vocab, rng)


def their_distribution(chain: ChainSampler, row: Row) -> Floats:
    ids, shares, chosen = chain.distribution(row)
    return dense(ids, shares, len(row)) if shares.any() else dense([chosen], [1.0], len(row))


def compare_rows(options: dict[str, Any], context: Context, all_rows: Iterator[Row]) -> None:
    params = SamplingParams(**OFF | options, seed=1)
    comparison = Comparison(ADDED_UP_WELL)
    for row in all_rows:
        chain = ChainSampler(params, len(row), [*context.prompt])
        for token in context.generated:
            chain.accept(token)
        comparison.add(Rig(params, context).distribution(row), their_distribution(chain, row), row, params, context)
        chain.close()
    comparison.close()


@pytest.mark.parametrize(("stage", "options"), [(name, options) for name in STAGES for options in STAGES[name]])
def test_a_stage_leaves_what_llama_cpp_leaves(stage: str, options: dict[str, Any]) -> None:
    compare_rows(options, Context(), rows(np.random.default_rng(len(stage))))


@pytest.mark.parametrize("options", [{"top_k": 40}, {"top_p": 0.9}, {"min_p": 0.05}, {"temperature": 0.7}, {}])
def test_a_stage_leaves_what_llama_cpp_leaves_of_a_large_vocabulary(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    params = SamplingParams(**OFF | options, seed=1)
    for kind in KINDS:
        for _ in range(8):
            row = make_row(kind, 151936, rng)
            chain = ChainSampler(params, len(row), [])
            ours, theirs = Rig(params).distribution(row), their_distribution(chain, row)
            differs(ours, theirs, row, params, Context(), SLACK * len(row) / ADDED_UP_WELL)
            chain.close()


def test_equal_logits_at_the_edge_of_top_k() -> None:
    rng = np.random.default_rng(2)
    for row in rows(rng, kinds=("lattice", "tied")):
        for k in (1, 7, 40, 200):
            params = SamplingParams(**OFF | {"top_k": k})
            chain = ChainSampler(params, len(row), [])
            ours, theirs = Rig(params).distribution(row), their_distribution(chain, row)
            chain.close()
            assert sorted(row[ours > 0]) == sorted(row[theirs > 0])


@pytest.mark.parametrize("allowed", [0.02, 0.5])
def test_logits_of_minus_infinity_are_what_a_mask_leaves(allowed: float) -> None:
    rng = np.random.default_rng(3)
    for options in ({"top_k": 40, "top_p": 0.95, "min_p": 0.05}, {"top_p": 0.9}, {"dynamic_temperature_range": 0.5}):
        params = SamplingParams(**OFF | options, seed=1)
        comparison = Comparison(ADDED_UP_WELL)
        for row in rows(rng, 10):
            keep = rng.random(len(row)) < allowed
            keep[rng.integers(len(row))] = True
            chain = ChainSampler(params, len(row), [])
            theirs = their_distribution(chain, np.where(keep, row, -np.inf).astype(np.float32))
            chain.close()
            context = Context(allowed=keep)
            comparison.add(Rig(params, context).distribution(row), theirs, row, params, context)
        comparison.close()


def first_float(seed: int) -> float:
    """What std::uniform_real_distribution<float> makes of the first number of std::mt19937."""
    first = np.random.RandomState(seed).randint(0, 2**32, dtype=np.uint64)
    return float(np.float32(first) / np.float32(2**32))


def test_xtc_strikes_where_llama_cpp_strikes() -> None:
    rng = np.random.default_rng(4)
    comparison, hits = Comparison(ADDED_UP_WELL), []
    for seed, row in enumerate(rows(rng)):
        options = {"xtc_probability": 0.4, "xtc_threshold": 0.02, "min_p": 0.01, "temperature": 0.8}
        params = SamplingParams(**OFF | options, seed=seed)
        context = Context(xtc_uniform=first_float(seed))
        hits.append(context.xtc_uniform <= 0.4)
        chain = ChainSampler(params, len(row), [])
        comparison.add(Rig(params, context).distribution(row), their_distribution(chain, row), row, params, context)
        chain.close()
    comparison.close()
    assert 0.3 < np.mean(hits) < 0.5


HISTORIES = [
    [],
    [1],
    [1, 2, 3, 1, 2, 3, 1, 2],
    [5, 5, 5, 5, 5, 5, 5],
    [7, 1, 6, 1, 0, 7, 1, 6, 3, 1, 7, 1, 6, 1],
    [299, 4, 4, 2, 4, 4, 2, 0, 0, 4, 4],
]


@pytest.mark.parametrize("window", [-1, 0, 1, 3, 64])
def test_penalties_are_those_of_llama_cpp(window: int) -> None:
    rng = np.random.default_rng(5)
    for repetition, frequency, presence in ((1.3, 0.0, 0.0), (0.8, 0.4, 0.0), (1.0, 0.7, -0.3), (1.1, -0.5, 0.9)):
        for with_prompt in (True, False):
            options = {
                "repetition_penalty": repetition,
                "frequency_penalty": frequency,
                "presence_penalty": presence,
                "repetition_window": window,
                "penalize_prompt": with_prompt,
                "temperature": 0.9,
                "top_k": 50,
            }
            for prompt in HISTORIES:
                context = Context(prompt=prompt, generated=rng.integers(0, 8, rng.integers(0, 9)).tolist())
                compare_rows(options, context, rows(rng, 1))


def test_whole_chains_leave_what_llama_cpp_leaves() -> None:
    rng = np.random.default_rng(6)
    choices: dict[str, Any] = {
        "logit_bias": lambda: {int(rng.integers(0, 50)): float(rng.normal(0, 3)) for _ in range(4)},
        "repetition_penalty": lambda: rng.uniform(0.8, 1.5),
        "frequency_penalty": lambda: rng.uniform(-0.5, 0.5),
        "top_n_sigma": lambda: rng.uniform(0.5, 4.0),
        "top_k": lambda: int(rng.integers(1, 3000)),
        "typical_p": lambda: rng.uniform(0.1, 0.99),
        "top_p": lambda: rng.uniform(0.05, 0.999),
        "min_p": lambda: rng.uniform(0.001, 0.3),
        "xtc_probability": lambda: 1.0,
        "xtc_threshold": lambda: rng.uniform(0.01, 0.3),
        "temperature": lambda: rng.uniform(0.3, 2.0),
        "dynamic_temperature_range": lambda: rng.uniform(0.0, 0.5),
    }
    comparison = Comparison(ADDED_UP_WELL)
    for row in rows(rng, 100):
        options = {name: make() for name, make in choices.items() if rng.random() < 0.4}
        if "top_n_sigma" in options:  # see above
            options = {k: v for k, v in options.items() if k not in ("typical_p", "dynamic_temperature_range")}
        params = SamplingParams(**OFF | options, seed=1)
        prompt = rng.integers(0, 60, rng.integers(0, 80)).tolist()
        chain = ChainSampler(params, len(row), prompt)
        context = Context(prompt=prompt)
        comparison.add(Rig(params, context).distribution(row), their_distribution(chain, row), row, params, context)
        chain.close()
    comparison.close()


@pytest.mark.parametrize("tau", [1.0, 3.0, 6.0])
def test_mirostat_follows_llama_cpp_token_by_token(tau: float) -> None:
    """llama.cpp draws; its token is chosen here too, and the next sets show that both moved their bounds alike."""
    rng = np.random.default_rng(7)
    at_the_edge = 0
    for run in range(30):
        n_vocab = int(rng.choice([50, 300, 3000]))
        params = SamplingParams(mirostat=2, mirostat_tau=tau, mirostat_eta=0.2, temperature=0.9, seed=run)
        chain, sequence = ChainSampler(params, n_vocab, []), Rig(params).sequence()
        for _step in range(20):
            row = make_row(str(rng.choice(KINDS)), n_vocab, rng)
            context = Context(mirostat_mu=sequence.mirostat_mu)
            ids, shares, token = chain.distribution(row)
            ours = dense(*_sampling.distribution(sequence, row[None]), n_vocab)
            at_the_edge += differs(ours, dense(ids, shares, n_vocab), row, params, context)
            assert choose(sequence, row, token) == token
        chain.close()
    assert at_the_edge <= 6


def choose(sequence: _sampling.Sequence, row: Row, token: int) -> int:
    """Make ``sequence`` choose ``token``: tries numbers until one of them draws it."""
    for point in np.random.default_rng(token).random(100_000):
        uniforms = np.array([[point, 0.0]])
        if _sampling.sample([sequence], row[None], uniforms=uniforms, accept=False) == [token]:
            return _sampling.sample([sequence], row[None], uniforms=uniforms)[0]
    raise AssertionError("a token that llama.cpp drew is never drawn here")


BREAKERS: list[tuple[str, ...]] = [
    ("\n", ":", '"', "*"),
    (),
    ("the",),
    (" the", ", and"),
    ("ing the house", "\n\n"),
    ("e", "é", "🎉"),
]
TEXTS = [
    "the cat sat on the mat. the cat sat on the mat. the cat",
    'She said: "no". He said: "no". She said: "',
    "one, and two, and three, and one, and two, and",
    "painting the house, painting the house\n\npainting the house",
    "aaaaaaaaaaaaaaaaaaaaaaaa",
    "a\nb\na\nb\na\n",
    "🎉🎉é🎉🎉é🎉🎉",
]


@pytest.mark.parametrize("breakers", BREAKERS)
def test_dry_is_that_of_llama_cpp(tiny_gguf: Path, breakers: tuple[str, ...]) -> None:
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

    rng = np.random.default_rng(8)
    backend = LlamaBackend(tiny_gguf, BackendSettings(context=64, batch=32, ubatch=32))
    try:
        vocabulary = backend.vocabulary
        histories = [vocabulary.tokenize(text, add_special=False, parse_special=False) for text in TEXTS]
        words = np.array(sorted({token for history in histories for token in history}))
        histories += [rng.choice(words[: rng.integers(2, 12)], rng.integers(0, 60)).tolist() for _ in range(60)]
        found = DryBreakers(vocabulary).tokens(breakers)
        comparison = Comparison(ADDED_UP_WELL)
        for number, history in enumerate(histories):
            params = SamplingParams(
                **OFF,  # type: ignore[arg-type]
                dry_multiplier=(0.8, 3.0)[number % 2],
                dry_base=(1.75, 1.1, 1.0)[number % 3],
                dry_allowed_length=1 + number % 3,
                dry_window=(-1, 12, 200)[number % 3],
                dry_breakers=breakers,
                seed=1,
            )
            row = make_row("flat", vocabulary.n_tokens, rng)
            row[words] += 4.0
            chain = ChainSampler(params, len(row), history, vocabulary._vocab)  # type: ignore[attr-defined]
            context = Context(prompt=history, breakers=found)
            comparison.add(Rig(params, context).distribution(row), their_distribution(chain, row), row, params, context)
            chain.close()
        comparison.close()
    finally:
        backend.close()


def test_the_most_likely_token_is_that_of_llama_cpp() -> None:
    rng = np.random.default_rng(9)
    params = SamplingParams(temperature=0.0)
    for row in rows(rng, 100):
        chain = ChainSampler(params, len(row), [])
        assert _sampling.sample([Rig(params).sequence()], row[None]) == [chain.sample(row)]
        chain.close()
