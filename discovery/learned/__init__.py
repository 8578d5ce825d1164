"""Directions from training: of flows and readouts on labeled codes, or without labels.

With labels read `conditional_flow` first, then `plugen` and `grad_ctrl`; with a classifier,
`latent2im`, whose `targets` codes move to. Without labels read `contrast` first, moves that a
network learns to tell apart: `voynov_babenko`, `warped_gan_space`, `decurved` and `potential_flow`
are such moves; `disco` and `latent_clr` compare changes instead. All train by
`directions.training`, which keeps checkpoints; methods of curved paths share `path_methods`. Import
the methods from `discovery`, which exports every class of the registry: adding one is its file and
one line there.
"""
