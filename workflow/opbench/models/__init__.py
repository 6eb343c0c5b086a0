"""Foundation models in the scGPT format: reading, running, tokenising, summing attention, pre-training."""
