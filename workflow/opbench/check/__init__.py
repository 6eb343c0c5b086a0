"""`opbench check`: what a run would do, what it could show, what it would cost, and what would stop it."""
