"""What is known of a language model: its sizes, tokenizer, chat template and sampling.

Not its weights.
"""
