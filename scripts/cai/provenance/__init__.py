"""Where a result came from: its manifest, its software, whether a second run made the same.

Not how that is shown.
"""
