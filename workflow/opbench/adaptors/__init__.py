"""Adaptors: the small trained maps from operator features to the latent."""
