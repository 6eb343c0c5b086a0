"""Spectral geometry of gene representations (arXiv:2602.22247), with the nulls that its headlines need."""
