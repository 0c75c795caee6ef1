"""A token depends on its own row alone: not on the instruction set, the batch around it or the number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgellm.errors import UsageError
from edgellm_runtimes import _sampling
from edgellm_runtimes.sampler import native_parameters
from edgellm_runtimes.sampling import ORDERS, SamplingParams
from sampling_reference import Context, Row
from sampling_rig import KINDS, OFF, Rig, make_row, mask_words

CHOICES: dict[str, list[Any]] = {
    "temperature": [0.0, 0.3, 0.8, 1.7],
    "dynamic_temperature_range": [0.25],
    "top_k": [1, 5, 40, 200, 1500, 30000],
    "top_p": [0.1, 0.5, 0.9, 0.95, 0.999],
    "min_p": [0.001, 0.05, 0.3],
    "typical_p": [0.2, 0.5, 0.9],
    "top_n_sigma": [0.5, 1.0, 3.0],
    "xtc_probability": [0.5],
    "mirostat": [2],
    "repetition_penalty": [0.9, 1.3],
    "frequency_penalty": [0.4],
    "dry_multiplier": [0.8],
    "logit_bias": [{1: 3.0, 2: -np.inf}],
    "logprobs": [3],
    "logprob_scope": ["processed"],
}
_OFTEN = 0.25


def random_params(rng: np.random.Generator, number: int) -> SamplingParams:
    chosen = {name: values[rng.integers(len(values))] for name, values in CHOICES.items() if rng.random() < _OFTEN}
    if rng.random() < 0.8:
        chosen.pop("mirostat", None)
    return SamplingParams(**OFF | chosen, order=list(ORDERS)[number % 3], seed=number)  # type: ignore[arg-type]


def sequences_of(params: list[SamplingParams]) -> list[_sampling.Sequence]:
    sequences = [_sampling.Sequence(native_parameters(each, each.seed or 0)) for each in params]
    for sequence in sequences:
        sequence.prompt(np.array([3, 1, 4, 1, 5, 3, 1, 4], np.int32))
    return sequences


def state_of(sequence: _sampling.Sequence) -> tuple[Any, ...]:
    return sequence.position, sequence.mirostat_mu, sequence.logprob, sequence.top_logprobs


def test_thousands_of_tokens_are_the_same_on_every_tier() -> None:
    """Through several tokens of each sequence, the log-probabilities and Mirostat's bound to the last bit."""
    rng = np.random.default_rng(0)
    tiers = _sampling.tiers()
    for round_ in range(100):
        n_vocab = int(rng.choice([1, 7, 255, 256, 257, 1000, 1025, 5003, 32000]))
        params = [random_params(rng, round_ * 10 + i) for i in range(10)]
        by_tier = [sequences_of(params) for _ in tiers]
        for _step in range(4):
            rows = np.stack([make_row(str(rng.choice(KINDS)), n_vocab, rng) for _ in range(10)])
            allowed = [mask_words(rng.random(n_vocab) < rng.choice([0.1, 0.9, 1.0])) for _ in range(10)]
            masks = np.concatenate(allowed) if rng.random() < 0.3 else None
            tokens = [
                _sampling.sample(sequences, rows, masks, tier=tier)
                for tier, sequences in zip(tiers, by_tier, strict=True)
            ]
            assert tokens == [tokens[0]] * len(tiers)
            for sequences in by_tier:
                assert [state_of(one) for one in sequences] == [state_of(one) for one in by_tier[0]]


def test_thousands_of_distributions_are_the_same_on_every_tier() -> None:
    rng = np.random.default_rng(1)
    for number in range(1000):
        n_vocab = int(rng.choice([1, 16, 255, 256, 257, 1000, 5003, 20011]))
        row = make_row(str(rng.choice(KINDS)), n_vocab, rng)
        params = random_params(rng, number)
        rigs = [Rig(params, Context([1, 1, 2]), tier) for tier in _sampling.tiers()]
        try:
            found = [rig.distribution(row) for rig in rigs]
        except ValueError:
            assert n_vocab == 1  # the biases forbid the only token
            continue
        assert all((other == found[0]).all() for other in found)


@pytest.mark.parametrize("n_vocab", [501, 70001])
def test_any_split_of_a_batch_on_any_number_of_threads_gives_the_same_tokens(n_vocab: int) -> None:
    rng = np.random.default_rng(2)
    params = [random_params(rng, number) for number in range(24)]
    rows = np.stack([make_row(str(rng.choice(KINDS)), n_vocab, rng) for _ in params])
    masks = np.concatenate([mask_words(rng.random(n_vocab) < 0.7) for _ in params])
    masks[:, 0] |= 1 << 5  # a token is always left

    def tokens(cuts: npt.NDArray[np.int64], threads: int) -> list[int]:
        sequences, chosen = sequences_of(params), []
        for part in np.split(np.arange(24), cuts):
            chosen += _sampling.sample([sequences[i] for i in part], rows[part], masks[part], threads)
        return chosen

    alone = tokens(np.arange(1, 24), 1)
    for threads in (1, 2, 3, 4, 7):
        for cuts in (0, 1, 4):
            assert tokens(np.sort(rng.choice(np.arange(1, 24), cuts, replace=False)), threads) == alone


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    program = (
        "import os\nimport numpy as np\nfrom edgellm_runtimes import _sampling\n"
        "from edgellm_runtimes.sampler import native_parameters\n"
        "from edgellm_runtimes.sampling import SamplingParams\n"
        "rows = np.random.default_rng(0).standard_normal((8, 100000), np.float32)\n"
        "def tokens():\n"
        "    native = native_parameters(SamplingParams(top_k=0), 1)\n"
        "    return _sampling.sample([_sampling.Sequence(native) for _ in rows], rows, None, 4)\n"
        "expected = tokens()\nchild = os.fork()\n"
        "if not child:\n    os._exit(tokens() != expected)\n"
        "print(os.waitpid(child, 0)[1], tokens() == expected)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["0", "True"]


def test_a_row_may_lie_anywhere_in_memory() -> None:
    rng = np.random.default_rng(3)
    row = make_row("peaked", 5003, rng)
    params = [SamplingParams(seed=i, **OFF) for i in range(20)]  # type: ignore[arg-type]
    expected = _sampling.sample(sequences_of(params), np.broadcast_to(row, (20, 5003)))
    for shift in range(1, 17):
        memory = np.full(5003 + 32, np.nan, np.float32)
        memory[shift : shift + 5003] = row
        rows = np.broadcast_to(memory[shift : shift + 5003], (20, 5003))
        assert all(_sampling.sample(sequences_of(params), rows, tier=tier) == expected for tier in _sampling.tiers())


@pytest.mark.parametrize("share", [0.01, 0.5, 0.97])
def test_a_mask_is_the_same_as_logits_of_minus_infinity(share: float) -> None:
    rng = np.random.default_rng(4)
    for number in range(60):
        n_vocab = int(rng.choice([31, 32, 33, 256, 1003, 20011]))
        row: Row = make_row("peaked", n_vocab, rng)
        allowed = rng.random(n_vocab) < share
        allowed[5] = True
        plain = np.where(allowed, row, -np.inf).astype(np.float32)
        params = random_params(rng, number)
        assert (Rig(params, Context(allowed=allowed)).distribution(row) == Rig(params).distribution(plain)).all()


def test_the_least_finite_logit_does_not_overflow_the_standard_deviation() -> None:
    row = np.random.default_rng(5).standard_normal(5003).astype(np.float32)
    row[::2] = np.finfo(np.float32).min  # what some programs write where they mean -inf
    sequence = _sampling.Sequence(native_parameters(SamplingParams(**OFF | {"top_n_sigma": 0.5}), 1))
    ids, _ = _sampling.distribution(sequence, row[None])
    assert ids == list(range(1, 5003, 2))


def test_a_tier_can_be_forced_and_an_unknown_one_is_refused() -> None:
    program = (
        "from edgellm_runtimes import _sampling\n"
        "from edgellm_runtimes.sampler import create_sampler\nfrom edgellm_runtimes.sampling import SamplingParams\n"
        "from edgellm.errors import UsageError\n"
        "try:\n    create_sampler(SamplingParams(), []); print(_sampling.tier())\n"
        "except UsageError as error:\n    print(error.message)\n"
    )
    for tier in (*_sampling.tiers(), "abacus"):
        environment = os.environ | {"EDGELLM_SAMPLING_TIER": tier}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        said = done.stdout.strip()
        assert said == tier if tier != "abacus" else "abacus" in said and _sampling.tiers()[0] in said
    with pytest.raises(ValueError, match="abacus"):
        Rig(SamplingParams(), tier="abacus").distribution(np.zeros(9, np.float32))
    with pytest.raises(UsageError):
        SamplingParams(order="mine")  # type: ignore[arg-type]
