"""Estimators of linear boundaries from labeled codes, and their uncertainty.

Read `linear` first, then `svm`. Import from the modules: this package stays light for methods that
need one estimator only.
"""
