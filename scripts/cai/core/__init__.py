"""What all modules build on: errors, texts, digests, command lines, progress.

Nothing of models or files of a run.
"""
