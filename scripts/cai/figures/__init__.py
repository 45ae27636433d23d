"""Drawings and tables, each with its data: the evaluation and the figures of the paper.

Pages are in ``report``.
"""
