"""edgellm fit"""

from __future__ import annotations

from typing import Any

import click

from edgellm.cli.context import json_option

__all__ = ["command"]


@click.command("fit")
@click.argument("model", metavar="SOURCE|NAME")
@click.option("-d", "--device", help="Device profile; default: the configured one, else this machine.")
@click.option("--memory", metavar="SIZE", help="Memory of the device, such as 4GiB.")
@click.option("--context", type=click.IntRange(min=16), help="Tokens of one conversation.")
@click.option("--sequences", type=click.IntRange(1, 255), help="Conversations at the same time.")
@click.option("--format", "format_", type=click.Choice(["gguf", "onnx"]), help="Of a checkpoint.  [default: both]")
@click.option("--min-speed", type=float, help="Tokens per second that auto wants at least.")
@json_option
def command(as_json: bool, **options: Any) -> None:
    """Show what fits on a device, how fast, and what `pack` would take.

    SOURCE is a checkpoint folder, a GGUF file or a model of a hub (OWNER/REPO[:QUANT]), NAME a bundle of the store.
    Only headers are read. What `edgellm bench` measured on this machine is shown beside the predictions. SIZE is that
    of the model file; of a checkpoint it is that of the tensors, without the vocabulary.
    """
    from edgellm.cli.fit_command import FitOptions, fit

    fit(FitOptions(as_json=as_json, **options))
