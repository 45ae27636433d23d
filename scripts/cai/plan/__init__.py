"""The plan of a run: what it will do and why, how much of it is new, and what it costs."""
