"""DICOM in, DICOM out: discover series, read slices as HU, derive and write slices.

The names listed in ``__init__.pyi`` are imported when they are first used, so that a command which only reads headers
does not import what derives images.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
