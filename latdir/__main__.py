"""`python -m latdir` is the command `latdir`."""

from latdir.cli import main

if __name__ == "__main__":
    main()
