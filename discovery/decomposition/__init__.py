"""Linear algebra of many codes: covariances, randomized ranges, robust PCA, ICA."""
