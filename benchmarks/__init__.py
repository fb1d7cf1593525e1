"""The benchmark: trio_ws and other libraries at the same work, in one run on one machine.

``python -m benchmarks`` runs it; ``docs/performance.rst`` says how to read what it prints.

Lives here: what is measured (``rows``, ``growth``), who takes part (``peers``), the bare load
(``load``), the processes and their cores (``children``, ``stages``), the figures (``results``)
and what is made of them (``report``, ``chart``, ``bars``).  The invariant: all peers of a row get
the same bytes from the same load generator, in rounds that alternate between them.
"""
