"""The local HTTP API: OpenAI, Ollama, Anthropic, llama.cpp and our own routes over the models of one store."""
