"""Reading every byte of a layout and comparing it with what it should be."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgellm.bundle.canonical import JSON_LIMIT_BYTES
from edgellm.bundle.index import LAYOUT_FILE, OCI_LAYOUT, index_damage
from edgellm.bundle.layout import Layout, blob_problem, read_index
from edgellm.bundle.manifest import Descriptor
from edgellm.bundle.media import ANNOTATION_NAME, ANNOTATION_REF_NAME, ANNOTATION_SLOT, ANNOTATION_TAG
from edgellm.bundle.reading import read_bundle, read_manifest
from edgellm.errors import BundleError, EdgeLLMError
from edgellm.progress import CancelToken, Progress, SilentProgress

__all__ = ["Finding", "VerifyReport", "entry_label", "verify_layout"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong. ``bundle`` is its name or digest, empty for the layout itself."""

    bundle: str
    problem: str


@dataclass
class VerifyReport:
    """What was read and what was found."""

    bundles: int = 0
    blobs: int = 0
    size_bytes: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: VerifyReport) -> None:
        """Count what another report found as well."""
        self.bundles += other.bundles
        self.blobs += other.blobs
        self.size_bytes += other.size_bytes
        self.findings += other.findings

    def error(self) -> BundleError | None:
        """The findings as one error (exit 5), None without any."""
        if not self.findings:
            return None
        first = self.findings[0]
        more = f" (and {len(self.findings) - 1} more)" if len(self.findings) > 1 else ""
        about = f"{first.bundle}: " if first.bundle else ""
        return BundleError(
            f"{about}{first.problem}{more}",
            hint="pack or fetch the bundle again: that replaces damaged blobs; or remove it with `edgellm rm`",
        )


def entry_label(entry: Descriptor) -> str:
    """What an entry of an index is called: ``name:tag``, ``name:tag@previous``, or its digest."""
    name, tag = entry.annotations.get(ANNOTATION_NAME), entry.annotations.get(ANNOTATION_TAG)
    slot = entry.annotations.get(ANNOTATION_SLOT)
    if name and tag:
        return f"{name}:{tag}@{slot}" if slot else f"{name}:{tag}"
    return entry.annotations.get(ANNOTATION_REF_NAME, "") or entry.digest


def verify_layout(
    layout: Layout,
    entries: list[Descriptor] | None = None,
    *,
    is_store: bool = False,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> VerifyReport:
    """Check ``entries`` of the index, or all of it with every blob that is there.

    ``is_store``: the index must be one of ours, and blobs that no manifest names are fine when their bytes match their
    names (a store has them until the next gc). Damage is reported, not raised; raised are only Interrupted and what
    keeps the layout as a whole from being read (UnsupportedError for a newer format, AccessError).
    """
    return _Verification(layout, is_store, progress or SilentProgress(), cancel or CancelToken()).run(entries)


class _Verification:
    def __init__(self, layout: Layout, is_store: bool, progress: Progress, cancel: CancelToken) -> None:
        self._layout = layout
        self._is_store = is_store
        self._progress = progress
        self._cancel = cancel
        self._report = VerifyReport()
        self._checked: dict[tuple[str, int], str | None] = {}

    def run(self, entries: list[Descriptor] | None) -> VerifyReport:
        try:
            chosen = self._check_index() if entries is None else entries
        except BundleError as error:
            self._find("", error.message)
            return self._report
        self._progress.phase("verify", sum(self._blobs(chosen).values()))
        for entry in chosen:
            self._check_bundle(entry)
        if entries is None:
            self._check_unlisted(chosen)
        return self._report

    def _find(self, bundle: str, problem: str) -> None:
        self._report.findings.append(Finding(bundle, problem))

    def _check_index(self) -> list[Descriptor]:
        index = read_index(self._layout)
        damage = index_damage(self._layout.read_file("index.json", JSON_LIMIT_BYTES), index)
        if self._is_store and not index.annotations:
            damage = "its checksum is missing"
        if damage and read_index(self._layout) == index:  # else it was replaced between the two reads
            self._find("", f"{self._layout.where}/index.json is damaged or was edited: {damage}")
        if index.annotations and self._layout.read_file(LAYOUT_FILE, 4096) != OCI_LAYOUT:
            self._find("", f"{self._layout.where}/{LAYOUT_FILE} is damaged")
        return index.manifests

    def _check_bundle(self, entry: Descriptor) -> None:
        self._report.bundles += 1
        problems = [problem for blob in self._blobs([entry]).items() if (problem := self._blob(*blob))]
        if not problems:
            try:
                read_bundle(self._layout, entry)
            except EdgeLLMError as error:
                problems.append(error.message)
        if problems and self._still_listed(entry):
            for problem in problems:
                self._find(entry_label(entry), problem)

    def _blob(self, digest: str, size_bytes: int) -> str | None:
        self._cancel.check()
        key = digest, size_bytes
        if key not in self._checked:
            self._checked[key] = self._read(digest, size_bytes)
            self._report.blobs += 1
            self._report.size_bytes += size_bytes
            self._progress.advance(size_bytes)
        return self._checked[key]

    def _read(self, digest: str, size_bytes: int) -> str | None:
        try:
            return blob_problem(self._layout, digest, size_bytes)
        except EdgeLLMError as error:
            return error.message

    def _blobs(self, entries: list[Descriptor]) -> dict[str, int]:
        """Digest and size of all blobs of these entries; only the manifest's own where it cannot be read."""
        blobs: dict[str, int] = {}
        for entry in entries:
            blobs[entry.digest] = entry.size
            try:
                manifest = read_manifest(self._layout, entry)
            except EdgeLLMError:
                continue  # the manifest's own blob will tell, or read_bundle
            blobs.update({blob.digest: blob.size for blob in (manifest.config, *manifest.layers)})
        return blobs

    def _still_listed(self, entry: Descriptor) -> bool:
        """A bundle that was removed while we read it has not been damaged."""
        try:
            return any(other.digest == entry.digest for other in read_index(self._layout).manifests)
        except EdgeLLMError:
            return True

    def _check_unlisted(self, entries: list[Descriptor]) -> None:
        try:
            unlisted = self._layout.blob_digests() - set(self._blobs(entries))
        except BundleError as error:
            self._find("", error.message)
            return
        for digest in sorted(unlisted):
            if not self._is_store:
                self._find("", f"{self._layout.where} has the blob {digest}, which no manifest lists")
                continue
            size_bytes = self._layout.blob_size(digest)
            problem = None if size_bytes is None else self._blob(digest, size_bytes)
            if problem and self._layout.blob_size(digest) is not None:
                self._find("", f"{problem} (no bundle uses it)")
