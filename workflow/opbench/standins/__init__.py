"""Simulated stand-ins of the files that a configuration names: they show that a run works, and nothing else."""
