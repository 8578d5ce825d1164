"""Scores, embeddings, features and gradients of codes, through images, in batches.

Read `scorer` first, then `rendering` and `kept`. Import from the modules: `rendering` alone serves
the command's flags and loads no network.
"""
