"""Intervals, tests, Elo scores and regressions over plain numbers; nothing of models or records."""
