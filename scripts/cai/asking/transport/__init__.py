"""HTTP to model servers: connections, failures and their kinds, checks of what arrives.

Not what an answer means.
"""
