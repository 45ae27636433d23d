"""What a model is asked for the method: responses, critiques, revisions, candidates, conversations.

Judges are in ``judging``.
"""
