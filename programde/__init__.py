"""programDE: which target gene shifts which gene program, with calibrated p-values."""

__version__ = "0.1.0"
