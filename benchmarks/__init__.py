"""How fast layerport is, measured against others: `python -m benchmarks --help`.

Each contender runs in a process of its own. The processes take turns, a block of steps each, so
that whatever else the machine does meets all of them; what counts is the median of the ratios of
neighbouring blocks.
"""
