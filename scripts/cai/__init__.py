"""The library that the programs in ``scripts/`` share. Only ``dag`` imports Snakemake.

What everything stands on is here: records and ledgers (``records``), errors and command lines
(``errors``, ``cli``), the configuration (``settings``) and ``experiments`` over it, the
constitution, templates and tokens, child processes, NeMo's programs (``nemo``, ``hydra``) and other
servers (``servers``), runs and what they cost (``training``, ``attempts``), and where results come
from (``manifest``, ``provenance``, ``lineage``).

What a run will do, before it does: ``dag`` (a dry run as data, with every job's reasons),
``changes`` (what differs between settings, in their reader's terms), ``plan`` (answers, GPU-hours,
disk).

How jobs are started and what is checked before: ``launch`` alone knows srun and containers;
``preflight`` and ``cluster`` gather what cannot work, from ``contract`` and ``composition`` (keys
that NeMo's configurations take), from ``values``, ``stages``, ``sizing``, ``arithmetic``,
``lengths``, ``memory`` and ``model_shape`` (batches and models against GPUs), and from ``slurm``
(partitions, jobs). ``failures`` tells of jobs that failed.

In the order of the workflow:

- ``conversion``: Hugging Face folders to ``.nemo`` and back;
- ``data``: datasets, from a hub's files to what NeMo trains on;
- ``generation``: model servers, the clients that ask them, responses, revisions, candidates;
- ``judging``: which of two answers the constitution prefers;
- ``evaluation``: held-out prompts and public sets, measures with intervals, warnings,
  comparisons of experiments, the report;
- ``paper``: the paper's figures that need runs of their own.
"""
