"""Checkpoints read and written, one tensor at a time: Hugging Face folders, ``.nemo``, trainings.

Nothing is unpickled.
"""
