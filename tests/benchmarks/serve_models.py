"""The models of the serving benchmark: shapes of real ones with random weights, and tiny-llm, packed by edgellm.

A random model chooses any id of its vocabulary. Its tokenizer is therefore as large as that of the real model, filled
up with words of its own; the few ids beyond it, and the ids that end a text, are forbidden on all sides.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from shapes import SHAPES, TOKENIZER, write_checkpoint

__all__ = ["MODELS", "Model", "checkpoint_of", "open_model"]

_WORD = re.compile("Ġ[a-z]{2,}")


@dataclass(frozen=True)
class Kind:
    """What a model is made of. ``tokenizer_size`` is that of the real model, or None for one that is real."""

    recipe: str
    context: int
    tokenizer_size: int | None = None


MODELS = {
    "qwen2.5-0.5b": Kind("Q4_K_M", 32768, 151_665),
    "smollm2-135m": Kind("Q4_0", 8192, 49_152),
    "tiny-llm": Kind("Q8_0", 512),
}


@dataclass(frozen=True)
class Model:
    """A packed model and what is known of its vocabulary."""

    name: str
    recipe: str
    path: Path
    context: int  # that it was made for
    words: tuple[int, ...]  # ids of whole words
    texts: dict[int, str]  # of those ids
    forbidden: dict[int, float]  # biases

    def prompt(self, tokens: int, seed: object) -> tuple[int, ...]:
        """Random words. Another ``seed`` shares no beginning with it."""
        draw = random.Random(repr(seed))
        return tuple(draw.choices(self.words, k=tokens))

    def text(self, prompt: tuple[int, ...]) -> str:
        """``prompt`` for servers that take no token ids."""
        return "".join(self.texts[token] for token in prompt)


def checkpoint_of(name: str, work: Path) -> Path:
    """The checkpoint that ``open_model`` packs."""
    return TOKENIZER if MODELS[name].tokenizer_size is None else work / f"{name}-words"


def open_model(name: str, work: Path) -> Model:
    """The model, made below ``work`` when it is not there yet."""
    kind = MODELS[name]
    bundle = work / f"{name}-{kind.recipe}"
    checkpoint = checkpoint_of(name, work)
    if kind.tokenizer_size is not None and not (checkpoint / "config.json").exists():
        print(f"{name}: writing a random checkpoint", file=sys.stderr, flush=True)
        write_checkpoint(SHAPES[name], checkpoint)
        _fill_up(checkpoint / "tokenizer.json", kind.tokenizer_size)
    if not bundle.exists():
        print(f"{name}: packing {kind.recipe}", file=sys.stderr, flush=True)
        _pack(checkpoint, kind.recipe, bundle)
    path = max(bundle.rglob("*"), key=lambda file: file.stat().st_size if file.is_file() else 0)
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text(encoding="utf-8"))
    vocab_size = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    return _described(name, path, kind, tokenizer, vocab_size)


def _described(name: str, path: Path, kind: Kind, tokenizer: dict[str, object], vocab_size: int) -> Model:
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]  # type: ignore[index]
    added: list[dict[str, int]] = tokenizer["added_tokens"]  # type: ignore[assignment]
    texts = {token: text.replace("Ġ", " ") for text, token in vocabulary.items() if _WORD.fullmatch(text)}
    ends = {entry["id"] for entry in added}
    beyond = range(max([*vocabulary.values(), *ends]) + 1, vocab_size)
    forbidden = dict.fromkeys([*sorted(ends), *beyond], -math.inf)
    return Model(name, kind.recipe, path, kind.context, tuple(sorted(texts)), texts, forbidden)


def _fill_up(path: Path, size: int) -> None:
    """Give every id below ``size`` a text. No merge leads to the new ones: no prompt has them."""
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    first = max([*vocabulary.values(), *(entry["id"] for entry in tokenizer["added_tokens"])]) + 1
    vocabulary |= {f"Ġ#{token:x}": token for token in range(first, size)}
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def _pack(checkpoint: Path, recipe: str, bundle: Path) -> None:
    program = str(Path(sys.executable).with_name("edgellm"))
    command = [program, "pack", str(checkpoint), "--device", "local", "--quant", recipe, "--output", str(bundle)]
    bundle.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=bundle.parent) as home:
        subprocess.run([*command, "--quiet"], check=True, env={**os.environ, "EDGELLM_HOME": home})
