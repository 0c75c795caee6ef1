"""`edgellm pack --system`: the prompt and its tokens are in the plan."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cli_process import Cli
from edgellm.bundle.system_prompt import tokens_digest

TEXT = "You answer for a small board.\nBe brief."


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    path = tmp_path / "prompt.txt"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode() + b"\n\n")
    return path


def test_the_prompt_and_its_tokens_are_in_the_plan(cli: Cli, tiny_llm: Path, prompt: Path) -> None:
    arguments = ["pack", tiny_llm, "-d", "raspberrypi5", "-d", "raspberrypi4", "--quant", "Q8_0", "--system", prompt]
    packed = cli.json(*arguments)
    again = cli.json(*arguments)
    assert [row["digest"] for row in again] == [row["digest"] for row in packed]
    plain = cli.json("pack", tiny_llm, "-d", "raspberrypi5", "--quant", "Q8_0", "--name", "plain:x")
    assert "system_prompt" not in plain[0]["plan"]
    assert plain[0]["digest"] not in [row["digest"] for row in packed]
    baked = packed[0]["plan"]["system_prompt"]
    assert packed[1]["plan"]["system_prompt"] == baked
    assert baked["text"] == TEXT
    assert baked["digest"] == tokens_digest(baked["tokens"])
    assert len(baked["tokens"]) > 10
    shown = cli.run("show", packed[0]["name"]).stdout
    assert f"{len(baked['tokens'])} tokens" in shown
    assert "answer for a small board" in shown
    assert cli.json("show", packed[0]["name"])["plan"]["system_prompt"] == baked


def test_a_gguf_gets_the_same_tokens_as_its_checkpoint(cli: Cli, tiny_llm: Path, tiny_gguf: Path, prompt: Path) -> None:
    plans = [
        cli.json("pack", source, "-d", "raspberrypi5", "--quant", "F16", "--system", prompt)[0]["plan"]
        for source in (tiny_llm, tiny_gguf)
    ]
    assert plans[0]["system_prompt"] == plans[1]["system_prompt"]


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b"", 2, "empty"),
        (b" \n\n", 2, "empty"),
        (b"caf\xe9", 2, "UTF-8"),
        (b"esc \x1b[31m", 2, "control characters"),
        (b"a" * (2**20 + 1), 2, "larger than"),
        (b"word " * 3000, 4, "context"),
        (None, 3, "prompt.txt"),
    ],
    ids=["empty", "blank", "latin-1", "escape", "huge", "long", "absent"],
)
def test_what_cannot_be_a_prompt_is_refused(
    cli: Cli, tiny_llm: Path, prompt: Path, content: bytes | None, status: int, says: str
) -> None:
    prompt.unlink()
    if content is not None:
        prompt.write_bytes(content)
    arguments = ["pack", tiny_llm, "-d", "raspberrypi5", "--quant", "Q8_0", "--system", prompt]
    assert says in cli.run(*arguments, status=status).stderr
    assert cli.json("list") == []


def test_a_base_model_has_no_place_for_it(cli: Cli, tiny_llm: Path, tmp_path: Path, prompt: Path) -> None:
    model = tmp_path / "base"
    shutil.copytree(tiny_llm, model)
    config = json.loads((model / "tokenizer_config.json").read_text())
    del config["chat_template"]
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    done = cli.run("pack", model, "-d", "raspberrypi5", "--quant", "Q8_0", "--system", prompt, status=2)
    assert "no chat template" in done.stderr
    assert not (cli.home / "store").exists()
