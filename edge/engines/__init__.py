"""Engines: what executes a variant. Each model file runs in a worker process of its own (`process`, `worker`)."""
