"""Doors with the names of the original program, thin, over the inner design.

Someone who uses the original changes one import line. What is computed, and how, is in the rooms
below; here names, parameter names, defaults and the shape of what comes back are translated.
"""
