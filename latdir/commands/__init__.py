"""The subcommands of `latdir`: thin shells over the library, registered by `latdir.cli`.

Read `discover` first. Nothing else imports this package; its modules load the library when a
command runs, so that `--help` stays fast.
"""
