"""Prefixes on disk: what is found, by whom, and what happens to files that are not what they should be."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgellm.errors import CheckpointError, UsageError
from edgellm.sources.caches import clear_cache
from edgellm_runtimes.kv_store import AdapterKey, PrefixFolder, PrefixKey, PrefixKind, PrefixStore

MODEL = "sha256:" + "1" * 64
TRAITS = {"library": "llama-cpp-python 0.3.36", "kv_type_k": "f16", "kv_type_v": "f16", "flash_attention": "True"}
KEY = PrefixKey(MODEL, TRAITS)
STATE = os.urandom(5000)
ADAPTERS = (AdapterKey("sha256:" + "b" * 64, 0.5), AdapterKey("sha256:" + "a" * 64))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "prefixes"


def opened(folder: Path, key: PrefixKey = KEY, **options: int) -> PrefixStore:
    return PrefixStore(folder, key, **{"keep_free_bytes": 0, **options})


def save(
    store: PrefixStore,
    tokens: Sequence[int],
    state: bytes = STATE,
    *,
    kind: PrefixKind = "system",
    scope: str = "",
    adapters: Sequence[AdapterKey] = (),
) -> bool:
    done = store.save(
        tokens,
        lambda path: path.write_bytes(state),
        size_bytes=len(state),
        kind=kind,
        scope=scope,
        adapters=adapters,
    )
    store.flush()
    return done


def state_of(store: PrefixStore, tokens: Sequence[int]) -> bytes | None:
    """The state that ``tokens`` get, read where a backend would read it."""
    match = store.find(tokens)
    if match is None:
        return None
    prefix = store.open(match.prefix)
    if prefix is None:
        return None
    with prefix:
        return prefix.path.read_bytes()[: prefix.prefix.state_bytes]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".written")


def test_what_was_saved_is_found_by_the_next_process(folder: Path) -> None:
    assert save(opened(folder), range(100))
    match = opened(folder).find([*range(100), 7, 8])
    assert match is not None
    assert (match.length, match.prefix.n_tokens, match.prefix.kind) == (100, 100, "system")
    assert state_of(opened(folder), [*range(100), 7]) == STATE


def test_the_longest_shared_beginning_wins_and_of_equals_the_shorter_state(folder: Path) -> None:
    store = opened(folder)
    for tokens in (range(10), range(50), [*range(50), 99, 98], [*range(20), 77]):
        save(store, tokens)
    found = {n: store.find([*range(n), 1000]) for n in (5, 15, 45, 60)}
    assert {n: match.length for n, match in found.items() if match} == {5: 5, 15: 15, 45: 45, 60: 50}
    assert found[5] is not None
    assert found[5].prefix.n_tokens == 10
    assert found[60] is not None
    assert found[60].prefix.n_tokens == 50
    assert store.find([1000]) is None
    whole = store.find(range(45), whole=True)
    assert whole is not None
    assert (whole.length, whole.prefix.n_tokens) == (10, 10)
    assert store.find(range(50), longer_than=50) is None
    assert store.find([]) is None


def test_looking_makes_no_folder(folder: Path) -> None:
    store = opened(folder)
    assert store.find([1, 2, 3]) is None
    assert store.statistics().entries == 0
    assert PrefixFolder(folder).list() == ([], [])
    assert PrefixFolder(folder).clear().entries == 0
    assert not folder.parent.exists()


@pytest.mark.parametrize(
    "key",
    [
        PrefixKey("sha256:" + "2" * 64, TRAITS),
        PrefixKey(MODEL, {**TRAITS, "kv_type_v": "q8_0"}),
        PrefixKey(MODEL, {**TRAITS, "flash_attention": "False"}),
        PrefixKey(MODEL, {**TRAITS, "library": "llama-cpp-python 0.3.37"}),
        PrefixKey(MODEL, {**TRAITS, "rope": "long"}),
    ],
)
def test_another_model_or_another_way_to_run_it_sees_nothing(folder: Path, key: PrefixKey) -> None:
    save(opened(folder), range(10))
    store = opened(folder, key)
    assert store.find(range(10)) is None
    assert save(store, range(10), b"other")
    assert state_of(store, range(10)) == b"other"
    assert state_of(opened(folder), range(10)) == STATE


def test_adapters_are_part_of_the_key_and_their_order_is_not(folder: Path) -> None:
    store = opened(folder)
    save(store, range(10), adapters=ADAPTERS)
    assert store.find(range(10), adapters=ADAPTERS[::-1]) is not None
    for other in ((), ADAPTERS[:1], (ADAPTERS[0], AdapterKey(ADAPTERS[1].digest, 0.9))):
        assert store.find(range(10), adapters=other) is None
    assert opened(folder).find(range(10), adapters=ADAPTERS) is not None


def test_a_conversation_is_for_its_scope_and_a_system_prompt_for_all(folder: Path) -> None:
    store = opened(folder)
    save(store, range(10))
    save(store, range(20), kind="chat", scope="alice")
    lengths = {scope: store.find(range(30), scope=scope) for scope in ("alice", "bob", "")}
    assert {scope: match.length for scope, match in lengths.items() if match} == {"alice": 20, "bob": 10, "": 10}
    assert all(b"alice" not in path.read_bytes() for path in folder.iterdir())
    with pytest.raises(UsageError, match="no scope"):
        save(store, range(5), scope="alice")


def test_saving_again_writes_nothing(folder: Path) -> None:
    store = opened(folder)
    assert save(store, range(10))
    assert not save(store, range(10))
    assert not save(store, range(8))
    assert not save(opened(folder), range(10))
    assert store.statistics().present == 2
    assert len(files(folder)) == 1


def test_a_conversation_that_grows_replaces_its_past(folder: Path) -> None:
    store = opened(folder)
    save(store, range(5))
    for length in (10, 20, 30):
        save(store, range(length), kind="chat", scope="alice")
    save(store, range(25), kind="chat", scope="bob")
    whole, damaged = PrefixFolder(folder).list()
    assert sorted((prefix.kind, prefix.n_tokens) for prefix in whole) == [("chat", 25), ("chat", 30), ("system", 5)]
    assert damaged == []


def test_only_its_user_can_read_the_cache(folder: Path) -> None:
    former = os.umask(0)
    try:
        save(opened(folder), range(10))
    finally:
        os.umask(former)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_folder_that_others_could_read_is_closed_to_them(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    save(opened(folder), range(10))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_every_flipped_bit_is_noticed_and_the_file_goes(folder: Path) -> None:
    save(opened(folder), range(3), os.urandom(40))
    (name,) = files(folder)
    path = folder / name
    good = path.read_bytes()
    assert b'"model":"sha256:1' in good
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << position % 8
        path.write_bytes(bad)
        store = opened(folder)
        assert state_of(store, range(10)) is None, position
        assert not path.exists(), position
        assert store.statistics().rejected == 1
        path.write_bytes(good)
        path.chmod(0o600)
    assert state_of(opened(folder), range(10)) == good[:40]


def test_a_torn_or_grown_file_is_never_used(folder: Path) -> None:
    save(opened(folder), range(3), os.urandom(100))
    (name,) = files(folder)
    path = folder / name
    good = path.read_bytes()
    for bad in (*(good[:length] for length in range(0, len(good), 7)), good + b"\0", b"\0" + good, good[1:]):
        path.write_bytes(bad)
        assert state_of(opened(folder), range(10)) is None
        assert not path.exists()


def test_a_file_under_the_name_of_another_is_never_used(folder: Path) -> None:
    store = opened(folder)
    save(store, range(10))
    save(store, range(100, 110), b"other state")
    first, second = files(folder)
    (folder / first).replace(folder / second)
    found = opened(folder)
    assert (found.find(range(10)), found.find(range(100, 110))) == (None, None)
    assert files(folder) == []


def test_what_is_no_file_of_ours_neither_stops_nor_fools_the_store(folder: Path, tmp_path: Path) -> None:
    save(opened(folder), range(10))
    (name,) = files(folder)
    path = folder / name
    precious = tmp_path / "precious"
    path.rename(precious)
    (folder / f"x{name}").mkdir()
    for plant in (lambda: path.symlink_to(precious), lambda: os.mkfifo(path), lambda: path.mkdir()):
        plant()
        assert opened(folder).find(range(10)) is None
        assert precious.exists()
        if path.is_dir():
            path.rmdir()
        assert not path.exists()
    path.write_bytes(precious.read_bytes())
    path.chmod(0o666)  # anybody could have written it
    assert opened(folder).find(range(10)) is None
    assert not path.exists()


def test_damage_that_comes_after_the_look_is_noticed_at_opening(folder: Path) -> None:
    store = opened(folder)
    save(store, range(10))
    match = store.find(range(10))
    assert match is not None
    path = folder / match.prefix.name
    with path.open("r+b") as file:
        file.seek(2500)
        file.write(b"damage")
    assert store.open(match.prefix) is None
    assert not path.exists()
    assert store.find(range(10)) is None


def test_a_prefix_that_another_process_removed_is_a_miss(folder: Path) -> None:
    store = opened(folder)
    save(store, range(10))
    match = store.find(range(10))
    assert match is not None
    PrefixFolder(folder).clear()
    assert store.open(match.prefix) is None
    assert store.find(range(10)) is None
    assert store.statistics().rejected == 0


def test_an_open_prefix_stays_readable_when_its_file_is_removed(folder: Path) -> None:
    store = opened(folder)
    save(store, range(10))
    match = store.find(range(10))
    assert match is not None
    prefix = store.open(match.prefix)
    assert prefix is not None
    PrefixFolder(folder).clear()
    assert prefix.path.read_bytes().startswith(STATE)
    prefix.close()
    prefix.close()


def test_removing_a_model_leaves_the_others(folder: Path) -> None:
    other = PrefixKey("sha256:" + "2" * 64, TRAITS)
    save(opened(folder), range(10))
    save(opened(folder), range(10), adapters=ADAPTERS)
    save(opened(folder, other), range(10))
    removed = PrefixFolder(folder).remove_model(MODEL)
    assert removed.entries == 2
    assert removed.size_bytes > 2 * len(STATE)
    assert opened(folder).find(range(10)) is None
    assert state_of(opened(folder, other), range(10)) == STATE
    assert PrefixFolder(folder).clear().entries == 1


def test_the_folder_may_go_at_any_time(folder: Path) -> None:
    store = opened(folder)
    save(store, range(10))
    assert clear_cache(folder.parent)[0] > len(STATE)
    assert not folder.exists()
    assert store.find(range(10)) is None
    assert save(store, range(10))
    assert state_of(store, range(10)) == STATE
    with (folder / ".left.tmp").open("wb") as file:
        file.write(b"by a killed process")
    assert PrefixFolder(folder).clear().entries == 1
    assert files(folder) == []


def test_a_write_that_fails_leaves_nothing_and_no_error(folder: Path) -> None:
    store = opened(folder)

    def fail(path: Path) -> None:
        path.write_bytes(STATE)
        raise CheckpointError("broken")

    assert not store.save([1], fail, size_bytes=1, kind="system")
    assert not store.save([1], lambda _path: False, size_bytes=1, kind="system")
    with pytest.raises(KeyboardInterrupt):
        store.save([1], interrupt, size_bytes=1, kind="system")
    store.flush()
    assert files(folder) == []
    assert store.statistics().failed == 1
    assert save(store, [1])


def interrupt(_path: Path) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("tokens", [[], [2**31], [-(2**31) - 1], ["a"]])
def test_what_are_no_tokens_is_refused(folder: Path, tokens: list[int]) -> None:
    with pytest.raises(UsageError):
        save(opened(folder), tokens)
