"""The paper's whole chain: parts, gates, head scan, compaction, factors, second manifold, standalone algorithm."""
