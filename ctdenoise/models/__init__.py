"""The network: a frozen CLIP-layout ResNet encoder, a trained decoder, and the zoo of trained models.

The names listed in ``__init__.pyi`` are imported when they are first used, so that code which only looks up a model
does not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
