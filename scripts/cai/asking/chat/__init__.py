"""Chat services with an OpenAI-compatible API: the client, forms of requests, answers."""
