"""The networks of StyleGAN 1, 2 and 3 and their latent spaces.

Read `generator` first.
"""
