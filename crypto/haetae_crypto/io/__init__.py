"""The only part of haetae_crypto that touches files."""

from haetae_crypto.io.key_files import KeyDirectory

__all__ = ["KeyDirectory"]
