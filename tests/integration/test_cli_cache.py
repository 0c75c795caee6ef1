"""`edgellm cache`, and what `rm`, `df` and `gc` do with saved prefixes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle_parts import for_device, gguf_bytes, write_bundle
from cli_process import Cli
from edgellm.store.store import Store
from edgellm_runtimes.kv_store import PrefixKey, PrefixStore

STATE = bytes(50_000)


@pytest.fixture
def folder(cli: Cli) -> Path:
    return cli.home / "cache" / "prefixes"


def pack(cli: Cli, *names: str, seed: int = 0) -> str:
    """Bundles of one model file; returns its digest."""
    store = Store(cli.home / "store", cli.home / "state")
    with store.writer() as writer:
        for number, name in enumerate(names):
            write_bundle(writer, name, weights=gguf_bytes(seed), plan=for_device(f"device-{number}"))
    return store.resolve(names[0]).bundle.model_file.digest


def save(folder: Path, model: str, n_tokens: int, *, kind: str = "system") -> None:
    store = PrefixStore(folder, PrefixKey(model, {"kv_type_k": "f16"}), keep_free_bytes=0)
    assert store.save(range(n_tokens), lambda path: path.write_bytes(STATE), size_bytes=len(STATE), kind=kind)
    store.flush()


def saved(cli: Cli) -> list[int]:
    return sorted(row["tokens"] for row in cli.json("cache", "list")["prefixes"])


def test_the_list_names_the_bundles(cli: Cli, folder: Path) -> None:
    assert cli.json("cache", "list")["prefixes"] == []
    assert "no prefixes" in cli.run("cache", "list").stderr
    model = pack(cli, "tiny:a", "tiny:b")
    save(folder, model, 10)
    save(folder, "sha256:" + "e" * 64, 20, kind="chat")
    (folder / "torn.kv").write_bytes(b"torn")
    listed = cli.json("cache", "list")
    rows = {row["tokens"]: row for row in listed["prefixes"]}
    assert listed["damaged"] == 1
    assert rows[10]["bundles"] == ["tiny:a", "tiny:b"]
    assert (rows[10]["model"], rows[10]["kind"], rows[10]["traits"]) == (model, "system", {"kv_type_k": "f16"})
    assert (rows[20]["bundles"], rows[20]["kind"]) == ([], "chat")
    assert rows[10]["size_bytes"] > len(STATE)
    table = cli.run("cache", "list")
    assert "tiny:a (+1)" in table.stdout
    assert "eeeeeeeeeeee" in table.stdout
    assert "1 damaged" in table.stderr


def test_clear_takes_all_or_one_model(cli: Cli, folder: Path) -> None:
    first, second = pack(cli, "tiny:a"), pack(cli, "other:a", seed=1)
    for model, tokens in ((first, 10), (second, 20), ("sha256:" + "e" * 64, 30)):
        save(folder, model, tokens)
    removed = cli.json("cache", "clear", "tiny:a")
    assert removed["entries"] == 1
    assert removed["size_bytes"] > len(STATE)
    assert saved(cli) == [20, 30]
    assert cli.json("cache", "clear", "e" * 12)["entries"] == 1
    assert saved(cli) == [20]
    cli.run("cache", "clear", "nobody", status=3)
    assert "1 saved prefixes" in cli.run("cache", "clear").stderr
    assert saved(cli) == []
    assert cli.json("cache", "clear")["entries"] == 0


def test_prefixes_go_with_the_last_bundle_of_their_model(cli: Cli, folder: Path) -> None:
    model, other = pack(cli, "tiny:a", "tiny:b"), pack(cli, "other:a", seed=1)
    save(folder, model, 10)
    save(folder, other, 20)
    assert cli.json("rm", "tiny:a", "--yes")["prefixes"]["entries"] == 0
    assert saved(cli) == [10, 20]
    assert "1 saved prefixes" in cli.run("rm", "tiny:b", "--yes").stderr
    assert saved(cli) == [20]


def test_a_former_bundle_keeps_the_prefixes_of_its_model(cli: Cli, folder: Path) -> None:
    model = pack(cli, "tiny:a")
    save(folder, model, 10)
    pack(cli, "tiny:a", seed=1)
    cli.run("rm", "tiny:a@previous", "--yes")
    assert saved(cli) == []
    save(folder, model, 10)
    pack(cli, "tiny:a")
    pack(cli, "tiny:a", seed=2)
    pack(cli, "other:a")
    cli.run("rm", "tiny:a", "--yes")
    assert saved(cli) == [10]


def test_df_counts_them_and_gc_frees_them(cli: Cli, folder: Path) -> None:
    save(folder, pack(cli, "tiny:a"), 10)
    (folder.parent / "wheels").mkdir()
    (folder.parent / "wheels" / "x.whl").write_bytes(bytes(1000))
    usage = cli.json("df")
    assert usage["prefixes"]["files"] == 1
    assert len(STATE) < usage["prefixes"]["size_bytes"] < len(STATE) + 5000
    assert (usage["cache"]["files"], usage["cache"]["size_bytes"]) == (1, 1000)
    own = sum(store["total_bytes"] for store in usage["stores"])
    assert usage["total_bytes"] == own + usage["prefixes"]["size_bytes"] + 1000
    assert "saved prefixes (1)" in cli.run("df").stdout
    assert cli.json("gc", "--cache", "--dry-run")["caches"]["cache_bytes"] > len(STATE)
    assert saved(cli) == [10]
    assert cli.json("gc", "--cache")["caches"]["cache_bytes"] > len(STATE)
    assert saved(cli) == []
    assert cli.json("df")["prefixes"]["size_bytes"] == 0


@pytest.mark.parametrize(
    ("limit", "kept"), [({}, 1), ({"EDGELLM_PREFIX_CACHE_MIB": "0"}, 0), ({"EDGELLM_PREFIX_DAILY_MIB": "0"}, 0)]
)
def test_the_settings_limit_what_a_conversation_leaves_behind(
    cli: Cli, packed_home: Path, limit: dict[str, str], kept: int
) -> None:
    store = {"EDGELLM_SYSTEM_STORE": str(packed_home / "store")}
    prompt = "Once upon a time there was a little girl who liked to play in the garden. " * 5
    arguments = ["run", "tiny-llm", prompt, "--cache-chats", "--max-tokens", "4", "--threads", "1"]
    cli.run(*arguments, environment=store | limit)
    assert len(cli.json("cache", "list")["prefixes"]) == kept
