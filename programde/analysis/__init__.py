"""A screen from one end to the other: test, calibrate, tabulate. Each step is one module."""
