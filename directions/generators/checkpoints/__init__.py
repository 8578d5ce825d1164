"""Third-party checkpoints as generators; nothing inside a file is executed.

Read `families` first, then `load`, which has the table of them; each of `biggan`, `progan` and
the StyleGANs is one family. Import from the modules, or call `directions.load_generator`.
"""
