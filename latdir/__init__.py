"""The command `latdir`: thin shells over the library."""
