"""Exported programs against other runtimes: JavaScript, WebAssembly and C, on one thread.

`model` writes what the programs read, `javascript` and `native` make them, `hosts` holds the
programs around them, which answer requests as `benchmarks.worker` does.
"""
