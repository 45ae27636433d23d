"""An OpenAI-compatible endpoint in front of any server of a model, with our chat template."""
