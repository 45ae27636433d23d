"""What a language model is to us: its sizes, its tokenizer, its chat template, how it samples.

Not its weights.
"""
