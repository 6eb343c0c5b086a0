"""Donor-level inference over score tables: tests, paired comparisons, summaries."""
