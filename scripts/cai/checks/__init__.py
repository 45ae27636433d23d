"""What is checked before a job starts: files, keys, arithmetic, memory, lengths, the cluster."""
