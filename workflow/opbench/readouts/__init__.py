"""Readouts: linear probes, diffusion pseudotime, endpoints per donor, and the runner of a chunk."""
