"""What `edgellm run` does: load, then one answer or a conversation."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgellm.cli.console import print_error, print_json, print_message, printable
from edgellm.cli.model_request import adapter_uses
from edgellm.cli.run_model import RunModel, open_model
from edgellm.errors import EdgeLLMError, UsageError

if TYPE_CHECKING:
    from edgellm.bundle.plan import Plan
    from edgellm_runtimes.generation import Chunk, GenerationOptions, GenerationStats, Overflow
    from edgellm_runtimes.grammar import Grammar
    from edgellm_runtimes.sampler import TokenLogprobs
    from edgellm_runtimes.sampling import SamplingParams

__all__ = ["RunOptions", "run_session"]

_LEAST_LOGPROB = -9999.0
_LARGEST_GRAMMAR_BYTES = 1 << 20
_HELP = "Talk to the model; Ctrl-C stops an answer, /clear forgets, /bye or Ctrl-D ends."


@dataclass(frozen=True)
class RunOptions:
    """The command line of `edgellm run`."""

    model: str
    prompt: str | None
    system: str | None
    raw: bool
    stop: tuple[str, ...]
    sampling: dict[str, Any]  # the parameters that were given
    context: int | None
    threads: int | None
    force: bool
    local: bool
    as_json: bool
    quiet: bool
    yes: bool = False
    adapters: tuple[str, ...] = ()
    overflow: Overflow = "error"
    keep: int = 0
    cache_chats: bool = False
    grammar: Grammar | None = None


@dataclass
class Conversation:
    """The messages so far, and how the next answer is made."""

    model: RunModel
    generation: GenerationOptions
    options: RunOptions
    messages: list[dict[str, Any]] = field(default_factory=list)
    logprobs: list[tuple[int, TokenLogprobs]] = field(default_factory=list)  # of the last answer's tokens, if asked for

    def __post_init__(self) -> None:
        if self.options.system:
            self.messages.append({"role": "system", "content": self.options.system})

    def clear(self) -> None:
        """Forget what was said; the system prompt stays."""
        self.messages = [message for message in self.messages if message["role"] == "system"]

    async def answer(self, prompt: str) -> tuple[str, Chunk]:
        """Stream the answer to stdout (unless --json); returns it with the chunk that ended it.

        What was said until an interruption stays in the conversation.
        """
        self.messages.append({"role": "user", "content": prompt})
        parts: list[str] = []
        last: Chunk | None = None
        self.logprobs = []
        try:
            async with contextlib.aclosing(self._chunks(prompt)) as chunks:
                async for chunk in chunks:
                    parts.append(chunk.text)
                    self.logprobs += zip(chunk.token_ids, chunk.logprobs, strict=False)
                    if not self.options.as_json:
                        sys.stdout.write(printable(chunk.text) if sys.stdout.isatty() else chunk.text)
                        sys.stdout.flush()
                    last = chunk
        finally:
            self.messages.append({"role": "assistant", "content": "".join(parts)})
        assert last is not None
        return "".join(parts), last

    def _chunks(self, prompt: str) -> AsyncGenerator[Chunk, None]:
        said: str | list[Mapping[str, Any]] = prompt
        if not self.options.raw:
            said = list(self.messages)
            if self.model.plan is not None:
                from edgellm.bundle.chat_defaults import with_default_messages

                said = with_default_messages(self.model.plan, said)
        return self.model.answer(said, self.options.sampling, self.generation)


def run_session(options: RunOptions) -> None:
    """Load the model and answer. Raises the errors of loading and generating."""
    if options.raw and options.system:
        raise UsageError("--raw gives the prompt as it is: --system has no place in it")
    from edgellm_runtimes.sampling import sampling_params

    prompt = _one_shot_prompt(options)
    # what is wrong there is said before anything is loaded
    generation = _generation(options, sampling_params(None, **options.sampling))
    if "logprobs" in options.sampling and not options.as_json:
        raise UsageError("--logprobs are part of what --json prints", hint="add --json")
    with open_model(options) as (runner, model):
        conversation = Conversation(model, _with_defaults(generation, model.plan), options)
        if not model.info.has_chat_template and not options.raw:
            raise UsageError(
                "this model has no chat template: it continues text and does not answer",
                hint=f"edgellm run {options.model} --raw",
            )
        if prompt is None:
            _talk(runner, conversation)
        else:
            text, last = runner.run(conversation.answer(prompt))
            _finish(conversation, text, last)


def _one_shot_prompt(options: RunOptions) -> str | None:
    """The prompt from the argument or from standard input; None means a conversation on the terminal."""
    if options.prompt is not None:
        return options.prompt
    if sys.stdin is not None and sys.stdin.isatty():
        if options.as_json:
            raise UsageError("--json needs a prompt", hint="give it as an argument or on standard input")
        return None
    raw = sys.stdin.buffer.read() if sys.stdin is not None else b""
    try:
        text = raw.decode("utf-8").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"the prompt on standard input is not UTF-8 (byte {error.start})") from error
    if not text.strip():
        raise UsageError("there is no prompt", hint="give it as an argument, or on standard input")
    return text


def _generation(options: RunOptions, params: SamplingParams) -> GenerationOptions:
    """How answers are made. Raises UsageError for what makes no sense."""
    from edgellm_runtimes.generation import GenerationOptions

    return GenerationOptions(
        sampling=params,
        stop=options.stop,
        overflow=options.overflow,
        keep=options.keep,
        adapters=adapter_uses(options.adapters),
        save=options.cache_chats,
        grammar=options.grammar,
    )


def _with_defaults(generation: GenerationOptions, plan: Plan | None) -> GenerationOptions:
    """What the bundle says where the command line says nothing."""
    if plan is None:
        return generation
    import msgspec

    from edgellm.bundle.chat_defaults import default_adapters, default_stop
    from edgellm_runtimes.generation import AdapterUse

    return msgspec.structs.replace(
        generation,
        stop=generation.stop or default_stop(plan),
        adapters=generation.adapters or tuple(map(AdapterUse, default_adapters(plan))),
    )


def _finish(conversation: Conversation, text: str, last: Chunk) -> None:
    import msgspec

    info, options, stats = conversation.model.info, conversation.options, last.stats
    assert stats is not None
    if options.as_json:
        print_json(
            {
                "text": text,
                "finish_reason": last.finish_reason,
                "stop_string": last.stop_string,
                **({"logprobs": _logprobs_json(conversation)} if "logprobs" in options.sampling else {}),
                "timings": {
                    **msgspec.to_builtins(stats),
                    "load_s": info.load_s,
                    "prompt_tokens_per_s": stats.prompt_tokens_per_s,
                    "decode_tokens_per_s": stats.decode_tokens_per_s,
                },
                "model": msgspec.to_builtins(info),
            }
        )
        return
    sys.stdout.write("\n")
    sys.stdout.flush()
    if options.quiet:
        return
    if sys.stderr.isatty():
        print_message(_summary(stats) + (" [cut off at the limit]" if last.finish_reason == "length" else ""))
    elif last.finish_reason == "length":
        print_message(
            f"[cut off at the limit after {stats.generated_tokens} tokens: --max-tokens and --context set it]"
        )


def _logprobs_json(conversation: Conversation) -> list[dict[str, Any]]:
    """An object for each token: itself, and the likeliest in its place."""

    def entry(token: int, logprob: float) -> dict[str, Any]:
        shown = round(max(logprob, _LEAST_LOGPROB), 6)  # JSON has no infinity
        return {"token": token, "text": conversation.model.token_text(token), "logprob": shown}

    return [
        {**entry(token, logprobs.chosen), "top": [entry(*each) for each in logprobs.top]}
        for token, logprobs in conversation.logprobs
    ]


def _summary(stats: GenerationStats) -> str:
    return (
        f"[{stats.prompt_tokens} prompt tokens at {stats.prompt_tokens_per_s:.0f}/s, "
        f"{stats.generated_tokens} generated at {stats.decode_tokens_per_s:.1f}/s]"
    )


def _talk(runner: asyncio.Runner, conversation: Conversation) -> None:
    """A prompt loop on the terminal: Ctrl-C stops an answer, Ctrl-D or /bye ends."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  line editing and history for input()

    print_message(_HELP)
    while True:
        try:
            line = input(">>> ").strip()
        except EOFError:
            sys.stdout.write("\n")
            return
        except KeyboardInterrupt:
            sys.stdout.write("\n")
            continue
        if line in ("/bye", "/exit", "/quit", "exit", "quit"):
            return
        if line.startswith("/"):
            if line == "/clear":
                conversation.clear()
            else:
                print_message(_HELP)
            continue
        if line:
            _talk_once(runner, conversation, line)


def _talk_once(runner: asyncio.Runner, conversation: Conversation, line: str) -> None:
    try:
        _, last = runner.run(conversation.answer(line))
        sys.stdout.write("\n")
        if last.finish_reason == "length":
            print_message("[cut off: the token limit or the end of the context; /clear begins anew]")
    except KeyboardInterrupt:
        print_message("\n[stopped]")
    except EdgeLLMError as error:
        print_error(error.message, f"{error.hint}; /clear begins anew" if error.hint else "/clear begins anew")
        del conversation.messages[-2:]
