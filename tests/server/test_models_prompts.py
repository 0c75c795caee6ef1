"""Baked system prompts and saved prefixes of models that a server loads."""

from __future__ import annotations

from pathlib import Path

from model_rig import SHORT, add_bundle, open_store, run_with

from edgellm.bundle.system_prompt import make_system_prompt
from edgellm.server.models.manager import ModelManager
from edgellm_runtimes.backend import BackendSettings
from edgellm_runtimes.llama_cpp.model import LlamaBackend
from edgellm_runtimes.system_prompt import system_prompt_tokens

TEXT = "You answer for a small board, briefly, and you name the units of all that you say."
MESSAGES = [{"role": "system", "content": TEXT}, {"role": "user", "content": "What is it?"}]


def test_the_state_of_a_baked_prompt_outlives_the_server(tmp_path: Path, tiny_gguf: Path) -> None:
    backend = LlamaBackend(tiny_gguf, BackendSettings(context=64))
    tokens = system_prompt_tokens(backend.vocabulary, backend.facts.chat_template, TEXT).tokens
    backend.close()
    add_bundle(open_store(tmp_path), "one:a", tiny_gguf, system_prompt=make_system_prompt(TEXT, tokens))

    async def cached(manager: ModelManager) -> int:
        async with manager.use("one") as model:
            async for chunk in model.engine.chat(MESSAGES, options=SHORT):
                last = chunk
        assert last.stats is not None
        return last.stats.cached_tokens

    assert run_with(tmp_path, cached) >= len(tokens) - 1  # computed before the first request
    assert list((tmp_path / "cache" / "prefixes").iterdir())
    assert run_with(tmp_path, cached) >= len(tokens) - 1  # read from the disk
