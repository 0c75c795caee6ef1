"""edgellm run"""

from __future__ import annotations

from typing import Any

import click

from edgellm.cli.context import json_option, quiet_option, yes_option
from edgellm.cli.grammar_options import grammar_options, take_grammar
from edgellm.cli.sampling_options import SectionedCommand, sampling_options, take_sampling

__all__ = ["command"]


@click.command("run", cls=SectionedCommand)
@click.argument("model", metavar="NAME|OWNER/MODEL[:QUANT]|FILE.gguf|DIR")
@click.argument("prompt", required=False)
@click.option("--system", help="System prompt.")
@click.option("--raw", is_flag=True, help="Give the prompt to the model as it is, without the chat template.")
@click.option("--stop", multiple=True, help="Stop at this text; may be repeated.")
@click.option("--context", type=int, help="Tokens of one conversation; default: the plan's.")
@click.option("--threads", type=int, help="Decode threads; default: the plan's, adjusted to this machine.")
@click.option(
    "--adapter", "adapters", multiple=True, metavar="NAME[=SCALE]", help="Use this adapter of the bundle; repeatable."
)
@click.option(
    "--overflow",
    type=click.Choice(["error", "truncate", "shift"]),
    default="error",
    show_default=True,
    help="When the context is full: stop, or take tokens out of the prompt, or of the answer too.",
)
@click.option("--keep", type=int, default=0, help="Tokens at the start that no overflow takes out.")
@click.option("--cache-chats", is_flag=True, help="Keep conversations on disk: what was said is not computed again.")
@grammar_options
@click.option("--local", is_flag=True, help="Load the model in this process, also where a server answers.")
@click.option(
    "--force", is_flag=True, help="Load it here, even if memory looks too small or a server has it loaded already."
)
@yes_option
@json_option
@quiet_option
@sampling_options
def command(model: str, prompt: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Answer a prompt with a packed model, or talk to it.

    NAME is a bundle of the store, DIR one that `pack --output` wrote. OWNER/MODEL of a hub is pulled first, after one
    question, unless the store has it. The prompt is the argument, or standard input;
    without either, on a terminal, a conversation begins. The answer goes to stdout, everything else to stderr.
    A server that serves the store answers; without one, with --local, and with options that say how to load the model
    (--threads, --cache-chats, --force) it is loaded in this process.
    """
    from edgellm.cli.run_session import RunOptions, run_session

    sampling = take_sampling(options)
    options["grammar"] = take_grammar(options)
    run_session(RunOptions(model=model, prompt=prompt, as_json=as_json, quiet=quiet, sampling=sampling, **options))
