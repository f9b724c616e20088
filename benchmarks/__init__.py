"""Speed and memory, measured against a plain baseline in the same run: ``python -m benchmarks``."""
