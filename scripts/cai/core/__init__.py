"""What all modules stand on: errors, texts, digests, command lines, progress.

Nothing of models or files of a run.
"""
