"""Published claims beside a run's tables: our number, its controls and two verdicts for each."""
