"""Answers that were given, kept for good: reading, writing and looking after journals.

Nothing is asked here.
"""
