"""Estimators of linear boundaries from labeled codes, and their uncertainty.

Read `linear` first.
"""
