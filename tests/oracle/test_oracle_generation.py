"""Greedy tokens equal those of llama-cpp-python's high-level API."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgellm_runtimes.backend import BackendSettings
from edgellm_runtimes.engine import Engine
from edgellm_runtimes.llama_cpp.model import LlamaBackend
from edgellm_runtimes.load import info_of
from edgellm_runtimes.sampling import SamplingParams

pytestmark = pytest.mark.oracle

PROMPTS = ("Friends, Romans, countrymen, lend me your", "The history of the", "def main():\n    ", "Grüße 🎉")
N_TOKENS = 48


def reference_tokens(path: Path, prompt: list[int]) -> list[int]:
    from llama_cpp import Llama

    model = Llama(str(path), n_ctx=256, n_batch=64, n_threads=1, n_threads_batch=1, flash_attn=True, verbose=False)
    try:
        tokens = []
        for token in model.generate(prompt, temp=0.0, repeat_penalty=1.0):
            tokens.append(token)
            if len(tokens) == N_TOKENS:
                return tokens
        raise AssertionError("the reference ended early")
    finally:
        model.close()


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_tokens_equal_the_high_level_api(tiny_gguf: Path, prompt: str) -> None:
    async def main() -> tuple[list[int], list[int]]:
        backend = LlamaBackend(tiny_gguf, BackendSettings(context=256, batch=64, ubatch=64))
        async with Engine(backend, info_of(backend, 0.0)) as engine:
            tokens = engine.tokenize(prompt)
            params = SamplingParams(temperature=0, max_tokens=N_TOKENS, ignore_eos=True)
            ids = [token async for chunk in engine.generate(tokens, params) for token in chunk.token_ids]
            return tokens, ids

    tokens, ids = asyncio.run(main())
    assert ids == reference_tokens(tiny_gguf, tokens)
