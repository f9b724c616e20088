"""programDE: which target gene shifts which gene program, with calibrated p-values.

What is public stands in ``__init__.pyi``, each name with the module that holds it; a module is
imported when one of its names is first used, so that ``import programde`` costs nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
