"""edgellm embed"""

from __future__ import annotations

from typing import Any

import click

from edgellm.cli.context import json_option, quiet_option, yes_option

__all__ = ["command"]


@click.command("embed")
@click.argument("model", metavar="NAME|OWNER/MODEL[:QUANT]|FILE.gguf|DIR")
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@click.option(
    "--pooling",
    type=click.Choice(["mean", "cls", "last"]),
    help="The mean of all tokens, the first one (of an encoder), or the last; default: what the model was trained "
    "with, else mean.",
)
@click.option("--no-normalise", is_flag=True, help="Leave the vectors as long as they are.")
@click.option("--truncate", is_flag=True, help="Cut texts that are too long, instead of refusing them.")
@click.option("--context", type=int, help="Most tokens of one text; default: the plan's.")
@click.option("--threads", type=int, help="Threads; default: the plan's, adjusted to this machine.")
@click.option(
    "--adapter", "adapters", multiple=True, metavar="NAME[=SCALE]", help="Use this adapter of the bundle; repeatable."
)
@click.option("--local", is_flag=True, help="Load the model in this process, also where a server answers.")
@click.option(
    "--force", is_flag=True, help="Load it here, even if memory looks too small or a server has it loaded already."
)
@yes_option
@json_option
@quiet_option
def command(model: str, texts: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> None:
    """Turn texts into vectors with a packed model.

    Without TEXT every line of standard input is one. Each vector is a line of JSON on stdout, in the order of the
    texts; --json prints one object with token counts and the model. A server that serves the store makes them; without
    one, with --local and with options that say how to load the model (--threads, --force) it is loaded in this process.
    """
    from edgellm.cli.embed_session import EmbedCommand, embed_session

    embed_session(EmbedCommand(model=model, texts=texts, as_json=as_json, quiet=quiet, **options))
