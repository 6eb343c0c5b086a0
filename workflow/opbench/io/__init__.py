"""The ground: errors, seeds, table contracts, digests and job plumbing. Imports no other room."""
