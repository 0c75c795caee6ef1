"""The backend over llama.cpp's C API."""
