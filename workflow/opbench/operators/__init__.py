"""Operators exported from summed attention, their random controls, and their feature maps."""
