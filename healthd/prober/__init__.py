"""The prober: asks, judges the answers, folds them into health. See `base` for the seam to the director."""
