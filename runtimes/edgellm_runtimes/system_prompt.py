"""The tokens that every chat with a system prompt begins with, whatever the user says.

At pack time a child process finds them with the model file that was just written:
`python -m edgellm_runtimes.system_prompt`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgellm.errors import EdgeLLMError, UnsupportedError
from edgellm.progress import CancelToken
from edgellm_runtimes.child import answer_error, begin_child, run_child

if TYPE_CHECKING:
    import argparse

    from edgellm.bundle.plan import Plan
    from edgellm_runtimes.backend import Vocabulary

__all__ = ["SystemPromptTokens", "read_system_prompt", "system_prompt_tokens"]

# Beginnings of a user's message of all kinds: a tokenizer may join them with what stands before.
_USERS = ("Hello", "7 days", "(or not)", "...", "\n\nHello", " Hello", "\u4e16\u754c", "\u00e9t\u00e9")
_DAYS = (datetime(2001, 1, 1, 1, 1, 1), datetime(2032, 12, 30, 23, 59, 59))  # of which no part is the same


class SystemPromptTokens(msgspec.Struct, frozen=True):
    """What was found. ``dated``: the template writes the date before the user's message, and there the tokens end."""

    tokens: tuple[int, ...]
    dated: bool


def system_prompt_tokens(
    vocabulary: Vocabulary, template: str | None, text: str, *, days: Sequence[datetime | None] = _DAYS
) -> SystemPromptTokens:
    """The tokens that all chats begin with whose system prompt is ``text``, on all of ``days``; None is today.

    Raises UsageError for a template that refuses a system prompt, and without one; UnsupportedError for one that leaves
    it out, BundleError for one that is broken.
    """
    of_day = [_shared([_tokens(vocabulary, template, text, user, day) for user in _USERS]) for day in days]
    tokens = _shared(of_day)
    return SystemPromptTokens(tuple(tokens), dated=len(tokens) < min(map(len, of_day)))


def read_system_prompt(
    path: Path, plan: Plan, text: str, cancel: CancelToken, files: Mapping[str, Path] | None = None
) -> SystemPromptTokens:
    """``system_prompt_tokens`` with the vocabulary and template of the model file ``path``, in a child process.
    ``files``: of a model of several files, by their names.

    Raises what that raises, ModelFileError, BackendError, Interrupted.
    """
    with tempfile.NamedTemporaryFile(prefix="edgellm-", suffix=".txt") as file:
        file.write(text.encode())
        file.flush()
        arguments = ["--model", str(path.absolute()), "--text", file.name]
        arguments += ["--normalization", plan.text_normalization]
        if plan.text_space_prefix:
            arguments.append("--space-prefix")
        for name, one in (files or {}).items():
            arguments += ["--file", f"{name}={one.absolute()}"]
        return run_child(
            "edgellm_runtimes.system_prompt",
            arguments,
            SystemPromptTokens,
            what="reading the system prompt",
            subject=str(path),
            timeout_s=600,
            cancel=cancel,
        )


def _tokens(vocabulary: Vocabulary, template: str | None, text: str, user: str, now: datetime | None) -> list[int]:
    from edgellm_runtimes.chat import render_chat

    def special(token: int | None) -> str:
        return "" if token is None else vocabulary.piece(token, special=True).decode("utf-8", "replace")

    prompt = render_chat(
        template,
        [{"role": "system", "content": text}, {"role": "user", "content": user}],
        bos_token=special(vocabulary.bos),
        eos_token=special(vocabulary.eos),
        now=now,
    )
    if text.strip() not in prompt:
        raise UnsupportedError(
            "the model's chat template leaves the system prompt out, or changes it",
            hint="this model cannot have one: put the text into the first message instead",
        )
    return vocabulary.tokenize(prompt, add_special=False, parse_special=True)


def _shared(lists: Sequence[Sequence[int]]) -> list[int]:
    """What all of ``lists`` begin with."""
    return [column[0] for column in takewhile(lambda column: len(set(column)) == 1, zip(*lists, strict=False))]


def main(arguments: list[str] | None = None) -> int:
    """The child: one JSON line on stdout. Returns the exit status."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m edgellm_runtimes.system_prompt", description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True, help="a file with the system prompt")
    parser.add_argument("--normalization", default="")
    parser.add_argument("--space-prefix", action="store_true")
    parser.add_argument("--file", action="append", default=[], metavar="NAME=PATH", help="of a model of several files")
    parser.add_argument("--parent-fd", type=int, help="a pipe: this process ends when its other end closes")
    options = parser.parse_args(arguments)
    begin_child(options.parent_fd)
    try:
        text = options.text.read_bytes().decode()
        with _reading(options) as (vocabulary, template):
            result = system_prompt_tokens(vocabulary, template, text)
    except EdgeLLMError as error:
        return answer_error(error)
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    return os.EX_OK


@contextlib.contextmanager
def _reading(options: argparse.Namespace) -> Iterator[tuple[Vocabulary, str | None]]:
    """The vocabulary and the chat template of the model."""
    from edgellm_runtimes.onnx.files import is_onnx

    files = {name: Path(file) for name, _, file in (text.partition("=") for text in options.file)}
    if is_onnx(options.model, files):
        from edgellm_runtimes.onnx.loader import read_vocabulary

        yield read_vocabulary(options.model, files)
        return
    from edgellm_runtimes.backend import BackendSettings
    from edgellm_runtimes.llama_cpp.model import LlamaBackend

    settings = BackendSettings(context=16, batch=16, ubatch=16, repack=False)
    backend = LlamaBackend(
        options.model, settings, normalization=options.normalization, space_prefix=options.space_prefix
    )
    try:
        yield backend.vocabulary, backend.facts.chat_template
    finally:
        backend.close()


if __name__ == "__main__":
    sys.exit(main())
