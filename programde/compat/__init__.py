"""Doors with the names of the original program, thin, over the inner design.

Someone who uses the original changes one import line. What is computed, and how, is in the rooms
below; here names, parameter names, defaults and the shape of what comes back are translated. The
names stand in ``__init__.pyi``, each with the module that holds it; `programde` has them too.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
