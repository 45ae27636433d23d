"""What a reader is to be careful about: found between stages and in results, sorted by weight."""
