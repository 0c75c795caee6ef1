"""Adapters in a bundle: one layer each, named by the plan, the same in every target, refused where they lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bundle_parts import gguf_bytes, make_plan
from edgellm.bundle.adapters import adapter_name, adapter_path, is_adapter_name, parse_adapter_name
from edgellm.bundle.contents import BundleContents, FileLayer
from edgellm.bundle.export import Outgoing, export_file
from edgellm.bundle.folder_writer import layout_writer
from edgellm.bundle.layout import open_layout
from edgellm.bundle.manifest import ModelDescriptor, ModelFacts
from edgellm.bundle.media import ADAPTER_RAW_TYPE
from edgellm.bundle.names import BundleName
from edgellm.bundle.opened import open_bundle
from edgellm.bundle.plan import PlannedAdapter
from edgellm.bundle.plan_codec import decode_plan, encode_plan
from edgellm.bundle.tar_writer import tar_writer
from edgellm.bundle.verify import verify_layout
from edgellm.bundle.writer import BundleWriter
from edgellm.errors import BundleError, UsageError
from edgellm.store.intake import chosen_names, import_layout
from edgellm.store.store import Store
from hostile_bundles import Layout

BYTES = {"sql": b"adapter one" * 1000, "a-b": b"adapter two" * 900, "a": b"adapter three" * 800}


def planned(name: str, **changes: object) -> PlannedAdapter:
    adapter = PlannedAdapter(name=name, rank=8, kind="peft", files={"adapter_model.safetensors": "sha256:" + "4" * 64})
    return msgspec.structs.replace(adapter, **changes)


def write(writer: BundleWriter, names: tuple[str, ...] = ("sql", "a-b", "a"), listed: tuple[str, ...] = ()) -> str:
    weights = FileLayer("model.gguf", writer.add_bytes(gguf_bytes()))
    plan = msgspec.structs.replace(make_plan(), adapters=tuple(planned(name) for name in sorted(listed or names)))
    contents = BundleContents(
        weights=(weights,),
        plan=plan,
        about=ModelDescriptor(name="tiny"),
        facts=ModelFacts(),
        docs=(FileLayer("adapters/sql/LICENSE", writer.add_bytes(b"terms")),),
        adapters=tuple(FileLayer(adapter_path(name), writer.add_bytes(BYTES[name])) for name in names),
    )
    return writer.commit(contents, BundleName("tiny", "pi"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with layout_writer(tmp_path / "bundle") as writer:
        write(writer)
    return tmp_path / "bundle"


def test_every_adapter_is_a_file_of_its_own(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert {name: path.read_bytes() for name, path in bundle.adapter_paths.items()} == BYTES
    assert [adapter.name for adapter in bundle.plan.adapters] == ["a", "a-b", "sql"]
    types = [layer.media_type for layer in bundle.manifest.layers]
    assert types.count(ADAPTER_RAW_TYPE) == 3
    assert bundle.weights_path.read_bytes() == gguf_bytes()
    assert [file.path for file in bundle.license_docs()] == ["adapters/sql/LICENSE"]


def test_the_order_in_which_they_are_given_changes_nothing(tmp_path: Path) -> None:
    digests = set()
    for number, names in enumerate([("sql", "a", "a-b"), ("a-b", "sql", "a")]):
        for target in (layout_writer(tmp_path / f"{number}"), tar_writer(tmp_path / f"{number}.tar")):
            with target as writer:
                digests.add(write(writer, names))
    with Store(tmp_path / "store", tmp_path / "state").writer() as writer:
        digests.add(write(writer))
    assert len(digests) == 1


def test_a_bundle_without_adapters_is_what_it_was(tmp_path: Path) -> None:
    assert b"adapters" not in encode_plan(make_plan())


def test_an_archive_brings_them_behind_everything_small(folder: Path, tmp_path: Path) -> None:
    opened = open_bundle(folder)
    target = tmp_path / "out.tar"
    export_file([Outgoing(BundleName("tiny", "pi"), opened.bundle, opened.layout)], target)
    archive = target.read_bytes()
    places = [archive.index(data) for data in BYTES.values()]
    assert min(places) > archive.index(b"terms")
    store = Store(tmp_path / "store", tmp_path / "state")
    layout = open_layout(target)
    with store.writer() as writer:
        import_layout(writer, layout, chosen_names(layout, None))
    assert {name: path.read_bytes() for name, path in store.resolve("tiny").adapter_paths.items()} == BYTES


def test_a_damaged_adapter_is_found(folder: Path) -> None:
    path = open_bundle(folder).adapter_paths["a-b"]
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    [finding] = verify_layout(open_layout(folder)).findings
    assert "damaged" in finding.problem


def test_a_running_model_holds_them(folder: Path) -> None:
    opened = open_bundle(folder)
    opened.adapter_paths["a"].unlink()
    with pytest.raises(Exception, match="removed meanwhile"), opened.hold():
        pass


@pytest.mark.parametrize("listed", [("sql",), ("a", "a-b", "other"), ("a", "a-b", "c", "sql")])
def test_a_writer_refuses_adapters_that_the_plan_does_not_list(tmp_path: Path, listed: tuple[str, ...]) -> None:
    with layout_writer(tmp_path / "bundle") as writer, pytest.raises(BundleError, match="not those of its plan"):
        write(writer, listed=listed)


def rename(layout: Layout, path: str) -> None:
    layer = next(layer for layer in layout.manifest["layers"] if layer["mediaType"] == ADAPTER_RAW_TYPE)
    layer["annotations"]["org.cncf.model.filepath"] = path


def unplanned(layout: Layout) -> None:
    layout.plan["adapters"] = layout.plan["adapters"][:1]


def missing(layout: Layout) -> None:
    layer = next(layer for layer in layout.manifest["layers"] if layer["mediaType"] == ADAPTER_RAW_TYPE)
    layer["mediaType"] = "application/vnd.example.other"


def other_content(layout: Layout) -> None:
    index = next(n for n, layer in enumerate(layout.manifest["layers"]) if layer["mediaType"] == ADAPTER_RAW_TYPE)
    layout.config["modelfs"]["diffIds"][index] = "sha256:" + "5" * 64


DAMAGES: list[Callable[[Layout], None]] = [unplanned, missing, other_content]
DAMAGES += [
    lambda layout, path=path: rename(layout, path)  # type: ignore[misc]
    for path in ("adapters/../x.gguf", "x.gguf", "adapters/A.gguf", "adapters/a b.gguf", "adapters/.gguf", "model.gguf",
                 "adapters/a/b.gguf", "adapters/sql.gguf")
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bundle_that_lies_about_its_adapters_is_refused(folder: Path, damage: Callable[[Layout], None]) -> None:
    layout = Layout.__new__(Layout)
    layout.folder = folder
    layout.index = json.loads((folder / "index.json").read_bytes())
    layout.index.pop("annotations")
    layout.manifest = layout.document(layout.index["manifests"][0])
    layout.config = layout.document(layout.manifest["config"])
    plan_layer = layout.manifest["layers"][-1]
    layout.plan = layout.document(plan_layer)
    damage(layout)
    layout.put(plan_layer, json.dumps(layout.plan).encode())
    layout.config["modelfs"]["diffIds"][-1] = plan_layer["digest"]
    layout.put(layout.manifest["config"], json.dumps(layout.config).encode())
    layout.put(layout.index["manifests"][0], json.dumps(layout.manifest).encode())
    layout.save_index()
    with pytest.raises(BundleError):
        open_bundle(folder)


@pytest.mark.parametrize(
    "adapters",
    [
        [planned("B")],
        [planned("../x")],
        [planned("")],
        [planned("\x1b[31m")],
        [planned("b"), planned("a")],
        [planned("a"), planned("a")],
        [planned("a", rank=0)],
        [planned("a", rank=1 << 40)],
        [planned("a", base="\x1b]0;x\x07")],
        [planned(f"a{number:03}") for number in range(65)],
    ],
)
def test_a_plan_with_impossible_adapters_is_refused(adapters: list[PlannedAdapter]) -> None:
    data = json.loads(encode_plan(make_plan())) | {"adapters": msgspec.to_builtins(adapters)}
    with pytest.raises(BundleError):
        decode_plan(json.dumps(data).encode(), "the plan")


def test_names_are_plain_and_folded() -> None:
    assert parse_adapter_name(" SQL-v1.2_x ") == "sql-v1.2_x"
    for text in ("", "a/b", "../x", "a\0", "-a", "a.", "ü", "a b", "a" * 65, "a\n", "=x"):
        assert not is_adapter_name(text)
        with pytest.raises(UsageError) as caught:
            parse_adapter_name(text.replace("\n", "\x1b"))
        assert caught.value.message.isprintable()
    assert adapter_name(adapter_path("x.y")) == "x.y"
    assert adapter_name("adapters/../x.gguf") is None
