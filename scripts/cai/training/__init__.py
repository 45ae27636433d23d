"""How a training of NeMo-Aligner runs: schedule, attempts, checkpoints, metrics.

Its settings are in ``nemo``.
"""
