"""Where artefacts came from, for a reader.

Manifests are read, compared, and amended by adoption; they are written by ``provenance``.
"""
