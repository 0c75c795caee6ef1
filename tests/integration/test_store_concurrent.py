"""Several processes use one store at once."""

from __future__ import annotations

from pathlib import Path

from edgellm.store.store import Store
from store_child import start_child

COUNT = 20


def test_two_packing_processes_a_reader_and_gc_do_not_disturb_each_other(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", tmp_path / "state")
    children = [start_child("names", str(tmp_path), prefix, str(COUNT)) for prefix in ("left", "right")]
    seen = 0
    while any(child.poll() is None for child in children):
        store.gc()
        rows = store.list()
        assert all(row.problem is None for row in rows)
        assert len(rows) >= seen
        seen = len(rows)
        for row in rows[-2:]:
            opened = store.resolve(row.full_name)
            with opened.hold():
                assert opened.weights_path.stat().st_size == opened.bundle.model_file.size_bytes
    for child in children:
        with child:
            assert child.wait() == 0
    names = {row.full_name for row in store.list()}
    assert names == {f"{prefix}:v{number}" for prefix in ("left", "right") for number in range(COUNT)}
    assert store.verify().findings == []
    assert store.gc().blobs == 0


def test_two_processes_that_move_the_same_tags_leave_whole_bundles(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", tmp_path / "state")
    children = [start_child("names", str(tmp_path), "same", str(COUNT)) for _ in range(2)]
    for child in children:
        with child:
            assert child.wait() == 0
    assert len(store.list()) == COUNT
    assert store.verify().findings == []
