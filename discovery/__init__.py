"""How directions are found: one method, one file, one paper."""
