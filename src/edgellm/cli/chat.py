"""edgellm chat"""

from __future__ import annotations

from typing import Any

import click

from edgellm.cli.context import quiet_option
from edgellm.cli.sampling_options import SectionedCommand, sampling_options, take_sampling

__all__ = ["command"]


@click.command("chat", cls=SectionedCommand)
@click.argument("model", metavar="[NAME]", required=False)
@click.option("--plain", is_flag=True, help="Lines alone, no screen: for screen readers, simple terminals and pipes.")
@click.option("--system", help="System prompt.")
@click.option("--attach", "attach", multiple=True, metavar="FILE", help="Send a text file along; may be repeated.")
@click.option("--json-schema", "schema", metavar="FILE", help="Answer with JSON that this schema allows.")
@click.option(
    "--think",
    type=click.Choice(["on", "off", "low", "medium", "high"]),
    help="Whether, or how much, the model thinks before it answers.",
)
@click.option("--context", type=click.IntRange(min=1), help="Tokens of one conversation; default: the plan's.")
@click.option("-c", "--continue", "go_on", is_flag=True, help="Go on with the conversation that was used last.")
@click.option(
    "--conversation", metavar="ID|NUMBER|TITLE", help="Go on with this conversation; `edgellm chats list` shows them."
)
@click.option("--no-history", is_flag=True, help="Keep nothing of this conversation on the disk.")
@quiet_option
@sampling_options
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Talk to a packed model.

    NAME is a bundle of the store; without it the model of the last conversation is taken, or the only one there is.
    A server that serves the store answers; without one it is started, and ends after its last client.
    Standard input that is no terminal is one message, whose answer goes to stdout. It is kept only with --continue and
    --conversation. All else goes to stderr. /help shows what can be typed in a conversation.
    """
    from edgellm.cli.chat_command import ChatOptions, run_chat

    sampling = take_sampling(options)
    root = ctx.find_root().obj
    config_file = root.get("config_file") if isinstance(root, dict) else None
    return run_chat(ChatOptions(sampling=sampling, config_file=config_file, **options))
