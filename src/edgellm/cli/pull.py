"""edgellm pull"""

from __future__ import annotations

from typing import Any

import click

from edgellm.cli.context import format_option, json_option, quiet_option, yes_option

__all__ = ["command"]


@click.command("pull")
@click.argument("source", metavar="OWNER/MODEL[:QUANT]|PATH")
@click.option("-d", "--device", help="Device profile.  [default: this machine]")
@click.option("--quant", "recipe", help="Recipe such as Q4_K_M, or auto.  [default: auto]")
@format_option
@click.option("--context", type=click.IntRange(min=16), help="Tokens of one conversation.")
@click.option("--sequences", type=click.IntRange(1, 255), help="Conversations at the same time.")
@click.option("--memory", metavar="SIZE", help="Memory of the device, such as 4GiB.")
@click.option("--min-speed", type=float, help="Tokens per second that auto wants at least.")
@click.option("--name", metavar="NAME[:TAG]", help="Name of the bundle.  [default: MODEL:DEVICE-RECIPE]")
@click.option("--force", is_flag=True, help="Pull even if it does not fit the device.")
@yes_option
@json_option
@quiet_option
def command(source: str, as_json: bool, quiet: bool, yes: bool, **options: Any) -> None:
    """Fetch a model from a hub and make it ready for this machine.

    Of a repository of GGUF files the one that suits the device best is taken, or the one that :QUANT or :FILE.gguf
    names; a checkpoint is packed. What will be downloaded is said first, with one question.
    """
    from edgellm.cli.pull_command import PullOptions, pull

    pull(PullOptions(source=source, as_json=as_json, quiet=quiet, yes=yes, **options))
