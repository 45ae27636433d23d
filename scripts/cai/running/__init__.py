"""How programs are started, watched and ended: processes, ports, Slurm, containers.

Not what they do.
"""
