"""Where artefacts came from: read from their manifests, compared, and amended by adoption."""
