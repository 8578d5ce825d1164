"""Labeled samples: codes and their scores, drawn in resumable shards.

Read `sampler` first, then `samples`. Import `sample` and `Samples` from `discovery`; the other
modules are their parts.
"""
