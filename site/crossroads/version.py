"""The version of the product: the one place where it is written."""

from typing import Final

VERSION: Final = "0.2.0.dev0"
