"""Controllers tried on simulated worlds, in seconds instead of hours."""
