"""The networks of StyleGAN 1, 2 and 3 and their latent spaces.

Read `generator` first, then `network`. Import from the modules: a family is loaded only when a
checkpoint needs it.
"""
