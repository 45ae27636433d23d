"""The figures of Bai et al. 2022 (arXiv 2212.08073) that are computed from runs of our models."""
