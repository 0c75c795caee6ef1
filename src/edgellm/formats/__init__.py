"""Headers of model files, read without trusting them: GGUF and safetensors. No tensor data is interpreted here."""
