"""Values of NeMo's overrides: those that are the workflow's, and those that no program takes."""
