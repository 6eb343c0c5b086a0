"""Datasets to gene panels: stage ontology, cell roles, gene lists, panel matrices, the simulated cohort."""
