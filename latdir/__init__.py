"""The command and the web page: thin shells over the library."""
