"""The store: many bundles in one folder, sharing blobs, safe against crashes and concurrent use."""
