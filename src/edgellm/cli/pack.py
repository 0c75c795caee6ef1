"""edgellm pack"""

from __future__ import annotations

from typing import Any

import click

from edgellm.cli.context import format_option, json_option, quiet_option

__all__ = ["command"]


@click.command("pack")
@click.argument("model", required=False)
@click.option("-d", "--device", "devices", multiple=True, help="Device profile; repeat it for one bundle each.")
@click.option("--quant", "recipe", help="Recipe such as Q4_K_M or INT4_32_M, or auto.  [default: auto]")
@format_option
@click.option("--context", type=click.IntRange(min=16), help="Tokens of one conversation.")
@click.option("--sequences", type=click.IntRange(1, 255), help="Conversations at the same time.")
@click.option("--memory", metavar="SIZE", help="Memory of the device, such as 4GiB.")
@click.option("--min-speed", type=float, help="Tokens per second that auto wants at least.")
@click.option("--name", metavar="NAME[:TAG]", help="Name of the bundle.  [default: MODEL:DEVICE-RECIPE]")
@click.option("--system", metavar="FILE", help="Bake the system prompt in this text file into the bundle.")
@click.option("-o", "--output", metavar="DIR|FILE.tar", help="Write the bundle there instead of into the store.")
@click.option("--adapter", "adapters", multiple=True, metavar="NAME=PATH", help="LoRA adapter to bring along.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads that quantize.  [default: all cores]")
@click.option("--force", is_flag=True, help="Pack even if it does not fit the device; replace FILE.tar.")
@json_option
@quiet_option
def command(as_json: bool, quiet: bool, **options: Any) -> None:
    """Turn a checkpoint or GGUF into a bundle made for one device.

    MODEL is a checkpoint folder (config.json, *.safetensors, tokenizer), a GGUF file, or a model of a hub
    (OWNER/MODEL[:QUANT]), which is downloaded. Without it, edgellm.toml of the current folder says what to pack, or the
    folder itself when it is a checkpoint.

    An adapter is a folder as PEFT saves it, or a GGUF adapter; requests choose it by NAME. Repeat --adapter for more.
    """
    from edgellm.cli.pack_command import PackOptions, pack

    pack(PackOptions(as_json=as_json, quiet=quiet, **options))
