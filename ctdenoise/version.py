"""The version, which manifests, images and reports record."""

__version__ = "0.1.0"
