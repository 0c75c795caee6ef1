"""The main job from end to end on the small checkpoint in this repository: pack for a Raspberry Pi 5, verify, run.

Run by `make demo`; everything it makes lies in .demo, which can be deleted. What is there already stays: whoever tries
the demo may have added models and conversations of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

CHECKPOINT = "tests/models/tiny-llm"
NAME = "tiny-llm:raspberrypi5-q4_k_m"
HOME = Path(".demo").absolute()
EDGELLM = Path(sys.executable).with_name("edgellm")


def step(title: str, *arguments: str) -> None:
    """Show a command as a user would type it, then run it."""
    print(f"\n# {title}\n$ edgellm {' '.join(_quoted(argument) for argument in arguments)}", flush=True)
    subprocess.run([EDGELLM, *arguments], check=True, env={**os.environ, "EDGELLM_HOME": str(HOME)})


def _quoted(argument: str) -> str:
    return f'"{argument}"' if " " in argument else argument


def main() -> int:
    print(
        textwrap.dedent(f"""
        This packs {CHECKPOINT}, a real language model of 8.4 million parameters that was trained for this purpose:
        it writes English sentences and knows nothing. It shows the way, not what a useful model says.
        Everything is kept in a store of its own:

        $ export EDGELLM_HOME={HOME}"""),
        flush=True,
    )
    try:
        step("What fits on a Raspberry Pi 5?", "fit", CHECKPOINT, "--device", "raspberrypi")
        step("Quantize it into a bundle for that device", "pack", CHECKPOINT, "--device", "raspberrypi", "--quant",
             "Q4_K_M")  # fmt: skip
        step("Read every byte back", "verify")
        step("What is in the store", "list")
        step("What the bundle says about itself", "show", NAME)
        step("Load it and answer", "run", NAME, "The history of the river", "--raw", "--max-tokens", "40",
             "--temperature", "0.3", "--repetition-penalty", "1.1", "--seed", "1")  # fmt: skip
    except subprocess.CalledProcessError as error:
        print(f"error: the step above failed with status {error.returncode}", file=sys.stderr)
        return 1
    print(
        textwrap.dedent(f"""
        Done. See it, chat with it and serve it in the terminal:

          source {Path(sys.executable).parent / "activate"}
          EDGELLM_HOME={HOME} edgellm

        Now with a real model, in your own store (0.4 GB; a folder or a GGUF file of yours works the same way):

          edgellm fit  bartowski/SmolLM2-360M-Instruct-GGUF
          edgellm run  bartowski/SmolLM2-360M-Instruct-GGUF "Why is the sky blue?"

        For a Raspberry Pi, pack here and send the bundle over:

          edgellm pack HuggingFaceTB/SmolLM2-360M-Instruct --device raspberrypi --name smollm2:pi
          edgellm export smollm2:pi - | ssh pi edgellm import -      # there, with edgellm installed
          ssh pi edgellm run smollm2 Hello
        """),
        flush=True,
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nstopped; run make demo again", file=sys.stderr)
        sys.exit(130)
