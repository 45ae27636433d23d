"""The configuration and the constitution, checked field by field; not what follows from them."""
