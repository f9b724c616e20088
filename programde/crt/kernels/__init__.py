"""Compiled inner loops: the only place where loops over cells exist.

Each kernel has a plain-numpy twin in the tests that it must equal. Kernels release the GIL, so
threads scale, and are cached on disk, so they compile once per machine.
"""
