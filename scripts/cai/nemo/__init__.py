"""The names of NeMo: its programs, their overrides and archives.

Not how a training or a server runs.
"""
