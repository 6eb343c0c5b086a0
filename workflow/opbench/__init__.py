"""opbench: benchmarks of algorithms extracted from single-cell foundation models."""

__version__ = "0.1.0"
