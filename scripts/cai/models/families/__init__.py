"""The families of models that can be converted, each a module of data and names.

These modules need nothing but Python: they are read before weights are downloaded, and again in
NeMo's container.
"""
