"""weakseg: a reproducible study of weakly supervised segmentation."""

__version__ = "0.1.0"
