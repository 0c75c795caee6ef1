"""The backend over ONNX Runtime."""
