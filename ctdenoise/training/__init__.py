"""What the bundles in ``pipelines/`` instantiate and MONAI does not have.

The names listed in ``__init__.pyi`` are imported when they are first used, so that code which only looks up a bundle or
checks a data set imports neither torch nor MONAI.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
