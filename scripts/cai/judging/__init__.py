"""Which of two answers the constitution prefers.

Three kinds of judge and what can be reported of them.
"""
