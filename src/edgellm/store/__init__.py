"""The store: bundles by name in one folder that any number of processes share."""
