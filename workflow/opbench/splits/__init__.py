"""Donor-holdout splits, the cells they select, and the audit of what donors share."""
