"""What rules need: experiments, command lines, the code that jobs run.

All that touches Snakemake's objects is here, and nothing of HTTP or of records; what reads its log
for a person is in `cai.running`.
"""
