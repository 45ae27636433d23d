"""What rules need: experiments, command lines, the code that jobs run.

All that touches Snakemake is here, and nothing of HTTP or of records.
"""
