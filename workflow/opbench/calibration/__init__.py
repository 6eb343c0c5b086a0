"""Does the referee judge rightly? Simulated campaigns in which it is known who is better."""
