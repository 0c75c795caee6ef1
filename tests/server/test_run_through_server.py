"""`edgellm run`, `ps` and `stop` with a server that serves their store."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from homes import home_over
from serve_rig import Serving, serving, wait_until

from cli_process import Cli

PROMPT = "The history of the city began"
NAME = "tiny-llm:raspberrypi5-q4_k_m"


@pytest.fixture(scope="module")
def home(packed_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return home_over(packed_home, tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def served(home: Path) -> Iterator[Serving]:
    """A server that the tests here share; what is loaded in it may differ."""
    with serving(home) as server:
        yield server


@pytest.fixture
def cli(home: Path) -> Cli:
    return Cli(home)


def loaded(cli: Cli) -> list[str]:
    return [model["name"] for server in json.loads(cli.run("ps", "--json").stdout) for model in server["models"]]


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    """What does not depend on how fast it went, or on what was computed before."""
    del answer["model"]["load_s"]
    timings = answer.pop("timings")
    return answer | {name: timings[name] for name in ("prompt_tokens", "generated_tokens", "seed")}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--raw", "--seed", "1", "--max-tokens", "20"),
        ("--seed", "3", "--max-tokens", "20", "--system", "Be brief.", "--top-k", "10", "--stop", "."),
        (
            "--raw",
            "--seed",
            "2",
            "--max-tokens",
            "6",
            "--logprobs",
            "3",
            "--logit-bias",
            "5=-inf",
            "--dry-breakers",
            "x",
        ),
        ("--raw", "--temperature", "0", "--seed", "1", "--max-tokens", "8", "--regex", "[a-z ]+"),
    ],
)
def test_the_answer_is_what_this_process_would_give(served: Serving, cli: Cli, arguments: tuple[str, ...]) -> None:
    through = cli.json("run", "tiny-llm", PROMPT, *arguments)
    assert NAME in loaded(cli)
    here = cli.json("run", "tiny-llm", PROMPT, *arguments, "--local", "--force")
    assert through["model"].pop("path") == ""
    assert Path(here["model"].pop("path")).is_file()
    differs = {"sequences", "threads", "batch_threads"}  # a server has room for several
    for answer in (through, here):
        answer["model"] = {key: value for key, value in answer["model"].items() if key not in differs}
    assert without_times(through) == without_times(here)


def test_a_second_copy_of_a_loaded_model_is_refused_unless_forced(served: Serving, cli: Cli) -> None:
    cli.run("run", "tiny-llm", PROMPT, "--max-tokens", "1")
    for option in (("--local",), ("--threads", "1"), ("--cache-chats",)):
        refused = cli.run("run", "tiny-llm", PROMPT, "--max-tokens", "1", *option, status=1)
        assert f"{served.url} (process {served.process.pid}) has {NAME} loaded" in refused.stderr
        assert f"leave {option[0]} out" in refused.stderr
    cli.run("run", "tiny-llm", PROMPT, "--max-tokens", "1", "--local", "--force")
    cli.run("stop", "tiny-llm")
    assert loaded(cli) == []
    cli.run("run", "tiny-llm", PROMPT, "--max-tokens", "1", "--local")
    assert loaded(cli) == []


def test_ps_and_stop(served: Serving, cli: Cli) -> None:
    cli.run("run", "tiny-llm", PROMPT, "--max-tokens", "1")
    shown = cli.run("ps")
    assert NAME in shown.stdout
    assert f"{served.url} (process {served.process.pid}" in shown.stderr
    assert f"tiny-llm is unloaded ({served.url})" in cli.run("stop", "tiny-llm").stderr
    assert f"tiny-llm was not loaded ({served.url})" in cli.run("stop", "tiny-llm").stderr
    assert cli.run("stop", "nobody", status=3).stderr.startswith("error: there is no ")
    cli.run("stop", status=2)
    cli.run("stop", "tiny-llm", "--now", status=2)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(("--adapter", "none"), 3), (("--regex", "("), 2), (("--context", "0"), 2)],
)
def test_an_error_is_that_of_this_process(served: Serving, cli: Cli, arguments: tuple[str, ...], status: int) -> None:
    through = cli.run("run", "tiny-llm", PROMPT, "--max-tokens", "1", *arguments, status=status)
    assert "Traceback" not in through.stderr
    assert through.stderr.startswith("error: ")


def test_a_prompt_that_is_too_long_is_a_usage_error(served: Serving, cli: Cli) -> None:
    refused = cli.run("run", "tiny-llm", "word " * 2000, status=2)
    assert "tokens" in refused.stderr


def test_a_context_that_the_model_cannot_have_is_said(served: Serving, cli: Cli) -> None:
    done = cli.run("run", "tiny-llm", PROMPT, "--context", "100000", "--max-tokens", "1")
    assert "a context of 100000 was asked for" in done.stderr


def test_ctrl_c_frees_the_sequence(served: Serving, cli: Cli) -> None:
    arguments = ("run", "tiny-llm", PROMPT, "--raw", "--ignore-eos", "--overflow", "shift")
    command = cli.command(*arguments)
    with subprocess.Popen(command, env=cli.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.read(20)
        run.send_signal(signal.SIGINT)
        run.stdout.read()
        assert run.wait(60) == 130
    with served.client() as client:
        wait_until(
            lambda: all(model["requests"] == 0 for model in client.get("/api/edgellm/ps").json()), "a free sequence"
        )


def test_a_conversation_goes_through_the_server(served: Serving, cli: Cli) -> None:
    parent, child = pty.openpty()
    command = cli.command("run", "tiny-llm", "--max-tokens", "8", "--seed", "1")
    with subprocess.Popen(command, env=cli.environment, stdin=child, stdout=child, stderr=child) as run:
        os.close(child)
        shown = b""
        for said in (b"Hello\r", b"And then?\r", b"/bye\r"):
            prompts = shown.count(b">>> ")
            while shown.count(b">>> ") <= prompts:
                shown += os.read(parent, 4096)
            os.write(parent, said)
        assert run.wait(60) == 0
        os.close(parent)
    assert NAME in loaded(cli)


def test_a_file_that_is_in_no_store_is_loaded_here(served: Serving, cli: Cli, tiny_gguf: Path) -> None:
    before = served.said().count("/api/edgellm/run")
    cli.run("run", tiny_gguf, PROMPT, "--max-tokens", "1")
    assert served.said().count("/api/edgellm/run") == before


def test_a_server_of_another_store_is_not_asked(served: Serving, packed_home: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copytree(packed_home / "store", other / "store")
    before = served.said().count("/api/edgellm/run")
    Cli(other).run("run", "tiny-llm", PROMPT, "--max-tokens", "1", environment={"EDGELLM_PORT": str(served.port)})
    assert served.said().count("/api/edgellm/run") == before


def test_a_server_without_a_runtime_file_is_found_by_its_address(packed_home: Path, tmp_path: Path) -> None:
    home = home_over(packed_home, tmp_path)
    store = str(home / "store")
    with serving(home, "--no-socket") as server:
        # another user's folders, the same store
        environment = {"EDGELLM_STORE": store, "EDGELLM_PORT": str(server.port)}
        client = Cli(tmp_path / "client")
        client.run("run", "tiny-llm", PROMPT, "--max-tokens", "1", environment=environment)
        (found,) = json.loads(client.run("ps", "--json", environment=environment).stdout)
        assert found["server"]["url"] == server.url
        assert [model["name"] for model in found["models"]] == [NAME]


def test_a_server_that_wants_a_key_is_sent_that_of_the_environment(packed_home: Path, tmp_path: Path) -> None:
    home = home_over(packed_home, tmp_path)
    key = Cli(home).run("key", "add", "me").stdout.strip()
    with serving(home, "--require-key", "--no-socket") as server:
        arguments = ("run", "tiny-llm", PROMPT, "--max-tokens", "1")
        Cli(home).run(*arguments, environment={"EDGELLM_API_KEY": key})
        refused = Cli(home).run(*arguments, status=1)
        assert "key" in refused.stderr
        other = {"EDGELLM_STORE": str(home / "store"), "EDGELLM_PORT": str(server.port), "EDGELLM_API_KEY": key}
        (found,) = json.loads(Cli(tmp_path / "client").run("ps", "--json", environment=other).stdout)
        assert found["server"]["url"] == server.url


def test_a_server_that_dies_in_the_middle_is_said(packed_home: Path, tmp_path: Path) -> None:
    home = home_over(packed_home, tmp_path)
    cli = Cli(home)
    with serving(home) as server:
        command = cli.command("run", "tiny-llm", PROMPT, "--raw", "--ignore-eos", "--overflow", "shift")
        with subprocess.Popen(
            command, env=cli.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as run:
            assert run.stdout is not None
            assert run.stderr is not None
            assert run.stdout.read(20)
            server.process.kill()
            run.stdout.read()
            assert b"went away" in run.stderr.read()
            assert run.wait(60) == 1


def test_nothing_runs(tmp_path: Path) -> None:
    cli = Cli(tmp_path)
    nobody = {"EDGELLM_PORT": "0"}
    assert "no server runs" in cli.run("ps", environment=nobody).stderr
    assert cli.run("stop", "tiny-llm", status=3, environment=nobody).stderr.startswith("error: no server runs")
    assert cli.run("stop", "--server", status=3, environment=nobody).stderr.startswith("error: no server runs")


def test_what_the_bundle_says_first_holds_here_and_there(own_home: Path, tmp_path: Path) -> None:
    """Its system prompt, its messages and its stop texts, unless the command line says others."""
    system, messages, parameters = tmp_path / "system.txt", tmp_path / "messages.json", tmp_path / "parameters.json"
    system.write_text("You are a lighthouse keeper and speak of the sea.")
    messages.write_text(json.dumps([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ahoy."}]))
    parameters.write_text(json.dumps({"stop": ["a"]}))
    cli = Cli(own_home)
    made = ("--system", system, "--messages", messages, "--parameters", parameters)
    cli.run("create", "keeper", "--from", "tiny-llm", *made)

    def asked(*options: str) -> list[Any]:
        """Tokens of the prompt, text and end of the answers: of the bundle, and with a system prompt of its own."""
        found = []
        for more in ((), ("--system", "Be brief."), ("--stop", "zzz")):
            answer = cli.json("run", "keeper", "Hello", "--seed", "1", "--max-tokens", "24", *more, *options)
            found.append((answer["timings"]["prompt_tokens"], answer["text"], answer["stop_string"]))
        return found

    here = asked("--local")
    plain = cli.json("run", "tiny-llm", "Hello", "--local", "--max-tokens", "1")["timings"]["prompt_tokens"]
    assert here[0][0] > here[1][0] > plain
    assert here[0][0] == here[2][0]
    assert "a" not in here[0][1]
    assert here[2][2] is None
    with serving(own_home):
        assert asked() == here


def test_vectors_are_the_same_here_and_there(cli: Cli, served: Serving) -> None:
    texts = ["The cat sat.", "Grüße aus Köln"]
    for options in ((), ("--pooling", "last", "--no-normalise"), ("--context", "64")):
        here = cli.json("embed", "tiny-llm", *texts, "--local", "--force", *options)
        there = cli.json("embed", "tiny-llm", *texts, *options)
        assert there["embeddings"] == here["embeddings"]
        assert [there[name] for name in ("dimensions", "pooling", "normalised", "tokens")] == [
            here[name] for name in ("dimensions", "pooling", "normalised", "tokens")
        ]
    assert loaded(cli) == [NAME]
    many = [f"text {number}" for number in range(300)]  # more than one request takes
    lines = cli.run("embed", "tiny-llm", stdin="\n".join(many).encode()).stdout.splitlines()
    assert len(lines) == 300
    assert json.loads(lines[299]) == cli.json("embed", "tiny-llm", many[299])["embeddings"][0]["vector"]


def test_errors_of_embedding_are_those_of_the_server(cli: Cli, served: Serving) -> None:
    assert "text 1 is empty" in cli.run("embed", "tiny-llm", "a", "", status=2).stderr
    assert "no adapter" in cli.run("embed", "tiny-llm", "a", "--adapter", "missing", status=3).stderr
