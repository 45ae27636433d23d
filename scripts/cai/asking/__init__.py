"""How models are asked: the protocols, servers and clients, and one flow control.

Not what is asked.
"""
