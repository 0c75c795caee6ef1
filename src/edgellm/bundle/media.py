"""Media types and annotation keys: OCI image layout 1.0, CNCF ModelPack, and our own."""

from __future__ import annotations

__all__ = [
    "ADAPTER_RAW_TYPE",
    "ANNOTATION_FILE_METADATA",
    "ANNOTATION_FILE_PATH",
    "ANNOTATION_FORMAT",
    "ANNOTATION_INDEX_DIGEST",
    "ANNOTATION_MINIMUM",
    "ANNOTATION_NAME",
    "ANNOTATION_REF_NAME",
    "ANNOTATION_SLOT",
    "ANNOTATION_TAG",
    "CONFIG_TYPE",
    "DOC_RAW_TYPE",
    "INDEX_TYPE",
    "MANIFEST_TYPE",
    "MODEL_ARTIFACT_TYPE",
    "WEIGHT_CONFIG_TYPE",
    "WEIGHT_PREFIX",
    "WEIGHT_RAW_TYPE",
]

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"

MODEL_ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
WEIGHT_PREFIX = "application/vnd.cncf.model.weight.v1."
WEIGHT_RAW_TYPE = "application/vnd.cncf.model.weight.v1.raw"
WEIGHT_CONFIG_TYPE = "application/vnd.cncf.model.weight.config.v1.raw"  # tokenizer.json and its like
DOC_RAW_TYPE = "application/vnd.cncf.model.doc.v1.raw"
ADAPTER_RAW_TYPE = "application/vnd.edgellm.adapter.v1.raw"  # ModelPack has no type for them

ANNOTATION_FILE_PATH = "org.cncf.model.filepath"
ANNOTATION_FILE_METADATA = "org.cncf.model.file.metadata+json"
ANNOTATION_REF_NAME = "org.opencontainers.image.ref.name"

# On index.json as a whole.
ANNOTATION_FORMAT = "vnd.edgellm.format"  # version of the layout's own format
ANNOTATION_MINIMUM = "vnd.edgellm.minimum"  # the oldest edgellm that reads it
ANNOTATION_INDEX_DIGEST = "vnd.edgellm.index-digest"  # of the canonical index without this annotation

# On one manifest of index.json.
ANNOTATION_NAME = "vnd.edgellm.name"
ANNOTATION_TAG = "vnd.edgellm.tag"
ANNOTATION_SLOT = "vnd.edgellm.slot"  # "previous" on what the tag pointed at before
