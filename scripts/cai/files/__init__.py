"""Files of any kind, read and written safely: JSON Lines with their ledger, YAML, rows, archives.

Not what the content means.
"""
