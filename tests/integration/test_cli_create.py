"""`edgellm create`: bundles from bundles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli_process import Cli
from peft_parts import make_adapter, read_checkpoint


@pytest.fixture
def own(own_home: Path) -> Cli:
    """A store with tiny-llm that a test may change."""
    return Cli(own_home)


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_what_is_changed_is_in_the_plan_and_the_rest_is_shared(own: Cli, tmp_path: Path) -> None:
    parameters = {"temperature": 0.25, "repeat_last_n": 32, "stop": ["END"], "num_ctx": 256, "num_predict": 9}
    arguments = ["--system", write(tmp_path, "s", "Be brief."), "--license", write(tmp_path, "l", "Mine.")]
    arguments += ["--parameters", write(tmp_path, "p", json.dumps(parameters))]
    arguments += ["--messages", write(tmp_path, "m", '[{"role": "user", "content": "Hi"}]')]
    made = own.json("create", "brief", "--from", "tiny-llm", *arguments)
    assert own.json("create", "again:x", "--from", "tiny-llm", *arguments)["digest"] == made["digest"]
    base, found = own.json("show", "tiny-llm"), own.json("show", "brief")
    assert found["name"] == "brief:latest"
    assert found["weights_path"] == base["weights_path"]
    plan = found["plan"]
    assert plan["sampling"] == {
        **base["plan"]["sampling"],
        "temperature": 0.25,
        "repetition_window": 32,
        "max_tokens": 9,
    }
    assert plan["chat"] == {"messages": [{"role": "user", "content": "Hi"}], "stop": ["END"]}
    assert plan["system_prompt"]["text"] == "Be brief."
    assert plan["context"] == 256
    memory, before = plan["predicted_memory"], base["plan"]["predicted_memory"]
    assert memory["kv_bytes"] == before["kv_bytes"] // 2
    assert before["total_bytes"] - memory["total_bytes"] == before["kv_bytes"] - memory["kv_bytes"]
    assert own.json("verify")["findings"] == []
    own.run("rm", "tiny-llm", "--yes")
    own.run("gc")
    assert own.json("verify", "brief")["findings"] == []


def test_an_adapter_is_used_by_every_request(own: Cli, tiny_llm: Path, tmp_path: Path) -> None:
    make_adapter(tmp_path / "poems", read_checkpoint(tiny_llm), r=4)
    own.run("create", "poet", "--from", "tiny-llm", "--adapter", f"poems={tmp_path / 'poems'}")
    plan = own.json("show", "poet")["plan"]
    assert [adapter["name"] for adapter in plan["adapters"]] == ["poems"]
    assert plan["chat"] == {"adapters": ["poems"]}
    assert plan["predicted_memory"]["adapter_bytes"] > 0
    own.run("create", "poet:two", "--from", "poet")
    assert own.json("show", "poet:two")["plan"] == plan


def test_a_template_of_its_own_replaces_the_models(own: Cli, tmp_path: Path) -> None:
    template = write(tmp_path, "t", "{% for message in messages %}{{ message.content }}{% endfor %}")
    system = write(tmp_path, "s", "Be brief.")
    own.run("create", "bare", "--from", "tiny-llm", "--template", template, "--system", system)
    plan = own.json("show", "bare")["plan"]
    assert plan["chat"]["template"] == template.read_text()
    assert plan["chat"]["messages"] == [{"role": "system", "content": "Be brief."}]
    answer = own.run("run", "bare", "Once upon a time", "--max-tokens", "4", "--temperature", "0").stdout
    prompt = "Be brief.Once upon a time"
    raw = own.run("run", "tiny-llm", prompt, "--raw", "--max-tokens", "4", "--temperature", "0").stdout
    assert answer == raw


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ('{"top_k": "many"}', "top_k"),
        ('{"colour": 1}', "colour"),
        ('{"num_ctx": 4096}', "trained for (512)"),
        ('{"stop": [1]}', "stop"),
        ("[", "parameters"),
    ],
)
def test_parameters_that_are_none_are_refused(own: Cli, tmp_path: Path, parameters: str, text: str) -> None:
    file = write(tmp_path, "p", parameters)
    assert text in own.run("create", "new", "--from", "tiny-llm", "--parameters", file, status=2).stderr
    assert len(own.json("list")) == 1


def test_a_base_that_is_not_there_is_not_found(own: Cli) -> None:
    assert "nothing" in own.run("create", "new", "--from", "nothing", status=3).stderr
