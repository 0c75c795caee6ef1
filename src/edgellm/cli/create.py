"""edgellm create"""

from __future__ import annotations

from typing import Any

import click

from edgellm.cli.context import json_option, quiet_option

__all__ = ["command"]


@click.command("create")
@click.argument("name", metavar="NAME[:TAG]")
@click.option("--from", "base", required=True, metavar="NAME", help="The bundle that it is made from.")
@click.option("--system", metavar="FILE", help="Text file with the system prompt of every chat.")
@click.option("--template", metavar="FILE", help="Jinja file with the chat template, instead of the model's own.")
@click.option("--messages", metavar="FILE", help="JSON file with the messages that every chat begins with.")
@click.option("--parameters", metavar="FILE", help="JSON file with parameters by Ollama's names, such as top_k.")
@click.option("--license", "licenses", multiple=True, metavar="FILE", help="Text file with the licence; repeatable.")
@click.option("--adapter", "adapters", multiple=True, metavar="NAME=PATH", help="LoRA adapter to bring along.")
@json_option
@quiet_option
def command(as_json: bool, quiet: bool, **options: Any) -> None:
    """Make a bundle from another one, with a system prompt, parameters or adapters of its own.

    The model file is shared: no weights are copied.
    """
    from edgellm.cli.create_command import CreateOptions, create

    create(CreateOptions(as_json=as_json, quiet=quiet, **options))
