"""What models do on held-out prompts and public sets: measures, intervals, warnings.

Drawings are in ``figures``.
"""
