"""The library that the programs in ``scripts/`` share. It never imports Snakemake.

What everything stands on is here: records and ledgers (``records``), errors and command lines
(``errors``, ``cli``), the configuration (``settings``), the constitution, templates and tokens,
child processes, and NeMo's programs (``nemo``, ``hydra``, ``training``, ``attempts``, ``manifest``).

How jobs are started and what is checked before: ``launch`` alone knows srun and containers;
``preflight`` and ``cluster`` gather what cannot work, from ``contract`` and ``composition`` (keys
that NeMo's configurations take), ``values``, ``stages``, ``sizing``, ``arithmetic``, ``lengths`` and
``memory`` (batches and models against GPUs), ``model_shape``, and ``slurm`` (partitions, jobs).
``failures`` tells of jobs that failed.

In the order of the workflow:

- ``conversion``: Hugging Face folders to ``.nemo`` and back;
- ``data``: datasets, from a hub's files to what NeMo trains on;
- ``generation``: model servers, the clients that ask them, responses, revisions, candidates;
- ``judging``: which of two answers the constitution prefers;
- ``evaluation``: held-out prompts, measures with intervals, figures, the report.
"""
