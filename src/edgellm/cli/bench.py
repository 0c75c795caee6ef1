"""edgellm bench"""

from __future__ import annotations

from typing import Any

import click

from edgellm.cli.context import json_option, quiet_option

__all__ = ["command"]


@click.command("bench")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--prompt",
    "prompt_tokens",
    type=click.IntRange(1),
    help="Prompt tokens; of an encoder those of each text.  [default: 512; at most its longest text]",
)
@click.option(
    "--tokens", "decode_tokens", type=click.IntRange(8), default=48, show_default=True, help="Tokens after the prompt."
)
@click.option(
    "--streams",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="Conversations or texts at once, measured too.",
)
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Measure so often, in turn.")
@click.option("--threads", type=click.IntRange(1), help="Threads; default: the plans', adjusted to this machine.")
@click.option("--force", is_flag=True, help="Load even if memory looks too small.")
@json_option
@quiet_option
def command(names: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> None:
    """Measure bundles on this machine: load time, prompt, answers, memory.

    A NAME without a tag stands for all its bundles: the formats and recipes of one model. They are measured in turn,
    each in a process of its own, and the median counts. Weights that a format prepares once are prepared before.
    The result is kept: `fit` shows it, and `pack` chooses the format by it.

    Encoders are measured with texts, which become vectors; they cannot be mixed with models that answer.
    """
    from edgellm.cli.bench_command import BenchOptions, bench

    bench(BenchOptions(names=names, as_json=as_json, quiet=quiet, **options))
