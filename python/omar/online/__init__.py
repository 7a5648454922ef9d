"""Online training of behaviour policies."""
