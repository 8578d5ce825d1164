"""Metrics of disentangled representations: MIG, SAP, DCI, modularity, explicitness, FactorVAE.

Read `scores` first: all metrics of one table of codes and factors.
"""
