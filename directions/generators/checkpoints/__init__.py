"""Third-party checkpoints as generators; nothing inside a file is executed.

Read `load` first; each other module has one family. Import from the modules, or call
`directions.load_generator`: a family is loaded only when a file needs it.
"""
