"""Bootstrap and half-sample intervals."""
