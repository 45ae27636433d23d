"""The library of the programs in ``scripts/``, in layers: a package imports from those below it
alone.

From the bottom up: ``core``, ``files``, ``models``, ``settings``, ``statistics``, ``running``,
``nemo``, ``conversion``, ``provenance``, ``data``, ``asking``, ``training``, ``steps``,
``judging``, ``evaluation``, ``figures``, ``checks``, ``report``, ``workflow``, ``lineage``,
``plan``. Each says in one sentence what lives there; ``docs/architecture.md`` has the map.
"""
