"""Names in the store: listing, moving, copying, removing, resolving."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bundle_parts import for_device, gguf_bytes, write_bundle
from edgellm.bundle.names import BundleName
from edgellm.errors import BundleError, EdgeLLMError, NotFoundError, UnsupportedError, UsageError
from edgellm.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", tmp_path / "state")


def add(store: Store, name: str, seed: int = 0, device: str = "raspberrypi5") -> str:
    with store.writer() as writer:
        return write_bundle(writer, name, weights=gguf_bytes(seed), plan=for_device(device))


def damage(store: Store, digest: str) -> None:
    path = store.root / "blobs" / "sha256" / digest.removeprefix("sha256:")
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def test_a_store_that_does_not_exist_is_empty(store: Store) -> None:
    assert store.list() == []
    assert store.verify().findings == []
    assert store.gc().freed_bytes == 0
    with pytest.raises(NotFoundError) as caught:
        store.resolve("tiny")
    assert "edgellm pack" in str(caught.value.hint)
    with pytest.raises(NotFoundError):
        store.remove("tiny")
    assert not store.root.exists()


def test_a_bundle_is_opened_with_its_weights_where_they_lie(store: Store) -> None:
    digest = add(store, "tiny:a")
    opened = store.resolve("tiny")
    assert (opened.digest, opened.name, opened.plan.recipe) == (digest, "tiny:a", "Q4_K_M")
    assert opened.weights_path.read_bytes() == gguf_bytes()
    assert opened.weights_path.parent == store.root / "blobs" / "sha256"
    assert [file.path for file in opened.license_docs()] == ["LICENSE"]
    assert opened.read_doc("LICENSE") == b"Apache License\n"
    assert opened.config.descriptor.licenses == ["Apache-2.0"]


def test_moving_a_tag_keeps_the_former_bundle(store: Store) -> None:
    first, second = add(store, "tiny:a", 1), add(store, "tiny:a", 2)
    assert store.resolve("tiny").digest == second
    assert store.resolve("tiny@previous").digest == first
    assert store.resolve(f"tiny@{first}").digest == first
    assert store.list()[0].previous_digest == first
    third = add(store, "tiny:a", 3)
    assert store.resolve("tiny:a@previous").digest == second
    add(store, "tiny:a", 3)
    assert (store.resolve("tiny").digest, store.resolve("tiny@previous").digest) == (third, second)


def test_going_back_swaps_the_two(store: Store) -> None:
    first, second = add(store, "tiny:a", 1), add(store, "tiny:a", 2)
    assert store.copy("tiny@previous", BundleName("tiny", "a")) == first
    assert store.resolve("tiny").digest == first
    assert store.resolve("tiny@previous").digest == second


def test_a_copy_is_a_second_name_for_the_same_blobs(store: Store) -> None:
    digest = add(store, "tiny:a")
    assert store.copy("tiny", BundleName("other", "b")) == digest
    rows = store.list()
    assert [row.full_name for row in rows] == ["other:b", "tiny:a"]
    assert all(row.shared_bytes == row.size_bytes for row in rows)
    store.remove("tiny")
    assert store.list()[0].shared_bytes == 0
    assert store.gc().blobs == 0
    with pytest.raises(UsageError):
        store.copy("other", BundleName("other", "b"))
    with pytest.raises(NotFoundError):
        store.copy("tiny", BundleName("x", "y"))


def test_removing_a_name_and_collecting_returns_the_space(store: Store) -> None:
    add(store, "tiny:a", 1)
    add(store, "tiny:a", 2)
    assert [str(entry) for entry in store.remove("tiny@previous")] == ["tiny:a@previous"]
    assert store.gc().blobs == 3  # manifest, config, weights; the plan and the licence are shared
    assert [str(entry) for entry in store.remove("tiny")] == ["tiny:a"]
    store.gc()
    assert list((store.root / "blobs" / "sha256").iterdir()) == []


def test_what_was_packed_for_the_machine_itself_comes_after_its_profile(store: Store) -> None:
    add(store, "tiny:a", device="local")
    add(store, "tiny:b", device="raspberrypi4")
    assert store.resolve("tiny", "raspberrypi5").name == "tiny:a"
    assert store.resolve("tiny", "raspberrypi4").name == "tiny:b"


def test_a_name_without_a_tag_is_the_one_for_this_device(store: Store) -> None:
    add(store, "tiny:a", device="raspberrypi5")
    add(store, "tiny:b", device="raspberrypi4")
    assert store.resolve("tiny", "raspberrypi4").name == "tiny:b"
    for device in (None, "jetson"):
        with pytest.raises(UsageError, match=r"tiny:a, tiny:b") as caught:
            store.resolve("tiny", device)
        assert caught.value.exit_code == 2
    add(store, "tiny:c", device="raspberrypi4")
    with pytest.raises(UsageError, match=r"tiny:b, tiny:c"):
        store.resolve("tiny", "raspberrypi4")


def test_an_unknown_name_suggests_near_ones(store: Store) -> None:
    add(store, "tiny-llm:a")
    with pytest.raises(NotFoundError) as caught:
        store.resolve("tinyllm")
    assert "tiny-llm" in str(caught.value.hint)
    for wrong in ("tiny-llm:b", "tiny-llm@previous", "tiny-llm@sha256:" + "0" * 64, "zzz"):
        with pytest.raises(NotFoundError) as caught:
            store.resolve(wrong)
        assert caught.value.hint


def test_a_damaged_bundle_is_listed_with_its_problem_and_not_opened(store: Store) -> None:
    digest = add(store, "tiny:a", 1)
    add(store, "tiny:b", 2)
    damage(store, digest)
    rows = store.list()
    assert rows[0].plan is None
    assert "damaged" in str(rows[0].problem)
    assert rows[1].problem is None
    with pytest.raises(BundleError):
        store.resolve("tiny:a")
    with pytest.raises(BundleError):
        store.copy("tiny:a", BundleName("x", "y"))
    report = store.verify()
    assert {finding.bundle for finding in report.findings} == {"tiny:a"}
    assert store.verify("tiny:b").findings == []
    store.remove("tiny:a")
    assert store.resolve("tiny").name == "tiny:b"


def test_packing_again_heals_a_damaged_blob(store: Store) -> None:
    add(store, "tiny:a")
    damage(store, store.resolve("tiny").bundle.model_file.digest)
    assert store.verify().error() is not None
    add(store, "tiny:a")
    assert store.verify().error() is None


def test_every_flipped_byte_of_the_index_is_found(store: Store) -> None:
    add(store, "tiny:a", 1)
    for name in ("index.json", "oci-layout"):
        path = store.root / name
        whole = path.read_bytes()
        for position in range(len(whole)):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            try:
                found = bool(store.verify().findings)
            except EdgeLLMError:
                found = True
            assert found, f"{name} at {position}"
        path.write_bytes(whole)
    assert store.verify().findings == []


def test_a_damaged_index_is_not_written_over(store: Store) -> None:
    add(store, "tiny:a")
    index = store.root / "index.json"
    index.write_bytes(index.read_bytes().replace(b'"tiny"', b'"tinx"'))
    damaged = index.read_bytes()
    before = sorted((store.root / "blobs" / "sha256").iterdir())
    with store.writer() as writer, pytest.raises(BundleError, match="damaged or was edited"):
        write_bundle(writer, "other:a", weights=gguf_bytes(5))
    with pytest.raises(BundleError):
        store.remove("tinx")
    assert index.read_bytes() == damaged
    assert sorted((store.root / "blobs" / "sha256").iterdir()) == before
    content = json.loads(damaged)
    del content["annotations"]  # what the hint says
    index.write_text(json.dumps(content))
    add(store, "other:a")
    assert store.verify().findings == []


def test_a_lost_index_is_an_error_and_not_an_empty_store(store: Store) -> None:
    add(store, "tiny:a")
    (store.root / "index.json").unlink()
    for action in (store.list, store.gc, store.writer):
        with pytest.raises(BundleError, match=r"no index\.json"):
            action()
    assert len(list((store.root / "blobs" / "sha256").iterdir())) == 5


def test_a_newer_store_is_refused_with_the_version_it_needs(store: Store) -> None:
    add(store, "tiny:a")
    index = store.root / "index.json"
    content = json.loads(index.read_bytes())
    content["annotations"].update({"vnd.edgellm.format": "2", "vnd.edgellm.minimum": "99.0"})
    index.write_text(json.dumps(content))
    for action in (store.list, store.gc, store.verify, store.writer):
        with pytest.raises(UnsupportedError, match=r"needs edgellm >= 99\.0"):
            action()


def test_a_smoke_result_is_kept_until_its_bundle_is_gone(store: Store, tmp_path: Path) -> None:
    digest = add(store, "tiny:a")
    assert store.load_smoke(digest) is None
    store.save_smoke(digest, {"tokens_per_s": 12.5, "finite": True})
    assert store.load_smoke(digest) == {"tokens_per_s": 12.5, "finite": True}
    store.gc()
    assert store.load_smoke(digest) is not None
    store.remove("tiny")
    store.gc()
    assert store.load_smoke(digest) is not None  # it is new: a pack may be about to commit its bundle
    for path in tmp_path.rglob("smoke/*.json"):
        os.utime(path, (1, 1))
    store.gc()
    assert store.load_smoke(digest) is None
    with pytest.raises(BundleError):
        store.load_smoke("../../x")


def test_a_renamed_bundle_keeps_its_digest_and_its_former_version(store: Store) -> None:
    former, digest = add(store, "tiny:a", 1), add(store, "tiny:a", 2)
    add(store, "other:a", 3)
    assert store.rename("tiny", BundleName("small", "b")) == digest
    assert [row.full_name for row in store.list()] == ["other:a", "small:b"]
    assert store.resolve("small:b").digest == digest
    assert store.resolve("small:b@previous").digest == former
    with pytest.raises(NotFoundError):
        store.resolve("tiny")


def test_a_name_that_is_taken_is_no_new_name(store: Store) -> None:
    add(store, "tiny:a", 1)
    add(store, "other:a", 2)
    before = store.list()
    with pytest.raises(UsageError, match="other:a is there already"):
        store.rename("tiny", BundleName("other", "a"))
    assert store.list() == before


def test_the_version_of_a_store_changes_with_its_names(store: Store) -> None:
    seen = {store.version()}
    for change in (
        lambda: add(store, "tiny:a", 1),
        lambda: add(store, "tiny:a", 2),
        lambda: store.copy("tiny", BundleName("other", "a")),
        lambda: store.rename("other", BundleName("third", "a")),
        lambda: store.remove("third:a"),
    ):
        change()
        assert store.version() not in seen
        seen.add(store.version())
    assert store.version() in seen
