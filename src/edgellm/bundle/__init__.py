"""A bundle: OCI image layout, ModelPack manifest, and the plan that says how to run the model."""
