"""Gradient-boosted trees behind DCI, grown like those of scikit-learn.

Read `boosting` first. They replace a library because none gives the published figures in this
time. On 10,000 rows of 10 codes and 6 attributes (`benchmarks/disentanglement.py`, one thread),
disentanglement, completeness and seconds are

    scikit-learn's GradientBoostingClassifier, as in disentanglement_lib   0.436  0.401  123 s
    these trees                                                            0.436  0.401    7.6 s
    LightGBM 4.7, one bin per value, gain importances                      0.475  0.440   18 s
    LightGBM 4.7, 255 bins                                                 0.483  0.449    2.8 s
    XGBoost 3.2, tree_method="exact", total gain                           0.602  0.564   21 s

Both libraries measure the gain of a split by second-order statistics, which spreads importance
differently from the squared error of scikit-learn.
"""
