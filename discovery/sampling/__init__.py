"""Labeled samples: codes and their scores, drawn in resumable shards.

Read `sampler` first, then `samples`.
"""
