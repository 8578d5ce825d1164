"""Files: atomic writes and the format of a direction bank."""
