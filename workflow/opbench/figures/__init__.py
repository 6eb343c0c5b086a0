"""Figures and the landing page, drawn from result tables alone."""
