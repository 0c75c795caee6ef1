"""Which bundles a layout holds, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence

from edgellm.bundle.layout import Layout, read_index
from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.media import ANNOTATION_NAME, ANNOTATION_SLOT, ANNOTATION_TAG
from edgellm.bundle.names import BundleName, default_name, parse_reference
from edgellm.bundle.reading import Bundle, read_bundle, read_manifest
from edgellm.bundle.verify import entry_label
from edgellm.errors import BundleError, UnsupportedError, UsageError

__all__ = ["bundle_name", "labelled_name", "listed_blobs", "read_bundles", "read_single_bundle"]


def read_single_bundle(layout: Layout) -> tuple[Descriptor, Bundle]:
    """The only bundle of a layout, folder or tar. Raises BundleError for none and for blobs that nothing lists."""
    entries = _entries(layout)
    if len({entry.digest for entry in entries}) > 1:
        names = ", ".join(repr(entry_label(entry)) for entry in entries[:20])
        raise UnsupportedError(f"{layout.where} holds {len(entries)} bundles ({names}); one is expected")
    _refuse_unlisted(layout, entries)
    return entries[0], read_bundle(layout, entries[0])


def read_bundles(layout: Layout) -> list[tuple[Descriptor, Bundle]]:
    """All bundles of a layout in the order of its index, each for every name that it has there.

    What a name of a store pointed at before is left out. Raises BundleError as ``read_single_bundle`` does.
    """
    entries = _entries(layout)
    _refuse_unlisted(layout, entries)
    current = [entry for entry in entries if ANNOTATION_SLOT not in entry.annotations]
    return [(entry, read_bundle(layout, entry)) for entry in current]


def listed_blobs(layout: Layout, entries: Sequence[Descriptor]) -> dict[str, int]:
    """Digest and size of every blob that these entries lead to. Raises BundleError for two sizes of one blob."""
    listed: dict[str, int] = {}
    for entry in entries:
        manifest = read_manifest(layout, entry)
        for blob in (entry, manifest.config, *manifest.layers):
            if listed.setdefault(blob.digest, blob.size) != blob.size:
                raise BundleError(f"{layout.where} gives the blob {blob.digest} two sizes")
    return listed


def _refuse_unlisted(layout: Layout, entries: Sequence[Descriptor]) -> None:
    """Raise BundleError when the layout has a blob that none of the entries leads to."""
    unlisted = layout.blob_digests() - set(listed_blobs(layout, entries))
    if unlisted:
        raise BundleError(f"{layout.where} has the blob {min(unlisted)}, which its manifest does not list")


def bundle_name(entry: Descriptor, bundle: Bundle, where: str) -> BundleName:
    """What an entry of somebody's index is called here: as it says, else after its model and its plan.

    Raises BundleError for a name that breaks the rules of names.
    """
    name, tag = entry.annotations.get(ANNOTATION_NAME), entry.annotations.get(ANNOTATION_TAG)
    if name is None or tag is None:
        return _plain_name(bundle)
    try:
        reference = parse_reference(f"{name}:{tag}")
    except UsageError as error:
        raise BundleError(f"{where} calls a bundle {f'{name}:{tag}'[:120]!r}, which is no name") from error
    if reference.tag is None or reference.digest or reference.previous:
        raise BundleError(f"{where} calls a bundle {f'{name}:{tag}'[:120]!r}, which is no name")
    return BundleName(reference.name, reference.tag)


def labelled_name(label: str, bundle: Bundle) -> BundleName:
    """The name in a label of ``entry_label``; after model and plan where the label is no name."""
    try:
        reference = parse_reference(label)
    except UsageError:
        return _plain_name(bundle)
    if reference.tag is None or reference.name == "sha256":  # a tag alone, or the digest of what has no name
        return _plain_name(bundle)
    return BundleName(reference.name, reference.tag)


def _plain_name(bundle: Bundle) -> BundleName:
    source = bundle.config.descriptor.name or bundle.plan.source.name
    return default_name(source, bundle.plan.target.id, bundle.plan.recipe)


def _entries(layout: Layout) -> list[Descriptor]:
    entries = read_index(layout).manifests
    if not entries:
        raise BundleError(f"{layout.where} is an empty layout: its index lists no bundle")
    return entries
