"""Third-party checkpoints become generators; nothing inside a file is executed.

Read `load` first; each other module has the layouts of one family.
"""
