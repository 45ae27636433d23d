"""LoRA's adapters, and the model that they make of their base."""
