"""The subcommands of `latdir`, thin shells over the library."""
