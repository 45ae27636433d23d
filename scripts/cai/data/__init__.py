"""Datasets in and out: sources, splits by prompt, blends, the forms that NeMo trains on.

No model is asked here.
"""
