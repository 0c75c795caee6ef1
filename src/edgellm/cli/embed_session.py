"""What `edgellm embed` does: find who has the model, embed, print."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgellm.cli.console import print_json
from edgellm.cli.model_request import adapter_uses
from edgellm.cli.run_model import Embedded, EmbedSettings, open_model
from edgellm.errors import UsageError

if TYPE_CHECKING:
    from edgellm_runtimes.embedding import Pooling
    from edgellm_runtimes.engine_info import EngineInfo

__all__ = ["EmbedCommand", "embed_session"]


@dataclass(frozen=True)
class EmbedCommand:
    """The command line of `edgellm embed`."""

    model: str
    texts: tuple[str, ...]
    pooling: Pooling | None
    no_normalise: bool
    truncate: bool
    context: int | None
    threads: int | None
    adapters: tuple[str, ...]
    local: bool
    force: bool
    yes: bool
    as_json: bool
    quiet: bool
    cache_chats: bool = False  # texts are never kept


def embed_session(options: EmbedCommand) -> None:
    """Embed the texts, here or in a server. Raises the errors of loading and embedding."""
    texts = list(options.texts) or _lines()
    how = EmbedSettings(options.pooling, not options.no_normalise, options.truncate, adapter_uses(options.adapters))
    with open_model(options, generates=False) as (runner, model):
        found = runner.run(model.embed(texts, how))
        if options.as_json:
            _print_object(model.info, options, found)
        else:
            _print_lines(found)


def _lines() -> list[str]:
    """The lines of standard input."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("there is no text", hint="give texts as arguments, or one a line on standard input")
    try:
        text = sys.stdin.buffer.read().decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"the text on standard input is not UTF-8 (byte {error.start})") from error
    if not text:
        raise UsageError("there is no text", hint="give texts as arguments, or one a line on standard input")
    return [line.removesuffix("\r") for line in text.split("\n")]  # not at every character that may end a line


def _print_lines(found: Embedded) -> None:
    import msgspec

    for vector in found.vectors:
        sys.stdout.write(msgspec.json.encode(vector).decode() + "\n")
    sys.stdout.flush()


def _print_object(info: EngineInfo, options: EmbedCommand, found: Embedded) -> None:
    import msgspec

    print_json(
        {
            "embeddings": [
                {"tokens": n_tokens, "vector": vector}
                for vector, n_tokens in zip(found.vectors, found.n_tokens, strict=True)
            ],
            "dimensions": len(found.vectors[0]),
            "pooling": found.pooling,
            "normalised": not options.no_normalise,
            "tokens": sum(found.n_tokens),
            "model": msgspec.to_builtins(info),
        }
    )
