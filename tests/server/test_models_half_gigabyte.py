"""A server that may take 512 MiB, with a small model and two bundles of the shape of a 135M one."""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path

import pytest
from memory_limits import Sampler, memory_group

from cli_process import Cli
from edgellm.units import format_bytes
from server_process import RunningServer, running_server

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))  # last: it has an onnx.py

BUDGET = 512 << 20
CLIENTS = 4
TURNS = 10
MODELS = ("tiny-llm", "big:a", "big:b", "tiny-llm", "big:a")


@pytest.fixture(scope="module")
def home(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from shapes import SHAPES, write_checkpoint

    checkpoint = tmp_path_factory.mktemp("checkpoint") / "big"
    write_checkpoint(SHAPES["smollm2-135m"], checkpoint)
    home = tmp_path_factory.mktemp("home")
    cli = Cli(home)
    cli.run("pack", tiny_llm, "--device", "local", "--quant", "Q4_K_M", "--name", "tiny-llm:a")
    for name, context in (("big:a", "1024"), ("big:b", "768")):
        cli.run("pack", checkpoint, "--device", "local", "--quant", "Q4_0", "--context", context, "--name", name)
    return home


@pytest.mark.slow
@pytest.mark.parametrize("isolation", ["worker", "process"])
def test_it_keeps_answering_and_never_takes_more(home: Path, tmp_path: Path, isolation: str) -> None:
    environment = {"EDGELLM_MEMORY_BUDGET": str(BUDGET), "EDGELLM_ISOLATION": isolation}
    with memory_group(BUDGET) as group:
        with running_server(home, tmp_path / "log", environment=environment) as server:
            group.add(server.process.pid)
            with Sampler(server.process.pid) as sampler:
                answers = _load(server)
        kills = group.kills
    print(f"{isolation}: {len(answers)} answers, most memory {format_bytes(max(sampler.samples))}")
    assert [answer for answer in answers if answer[1] != 200] == []
    assert {name for name, _status, _text in answers} == set(MODELS)
    assert len(answers) == CLIENTS * TURNS
    assert max(sampler.samples) <= BUDGET, format_bytes(max(sampler.samples))
    assert len(sampler.samples) > 20
    assert kills == 0


def _load(server: RunningServer) -> list[tuple[str, int, str]]:
    """Clients that ask for all models in their own order; for each answer the model, the status, and what was said."""
    answers: list[tuple[str, int, str]] = []

    def client(number: int) -> None:
        order = random.Random(number).choices(MODELS, k=TURNS - len(set(MODELS))) + sorted(set(MODELS))
        with server.client() as connection:
            for name in order:
                said = f"Once upon a time there were {number} friends"
                asked = {"messages": [{"role": "user", "content": said}]} if number % 2 else {"prompt": said}
                body = {"model": name, **asked, "sampling": {"max_tokens": 12, "ignore_eos": True}}
                found = connection.post("/api/edgellm/run", json=body, timeout=240)
                status = 500 if '"type":"error"' in found.text else found.status_code
                answers.append((name, status, found.text[-300:] if status != 200 else ""))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
