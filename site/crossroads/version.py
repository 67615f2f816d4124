"""The version of Crossroads, stored only here."""

from typing import Final

VERSION: Final = "0.2.0.dev0"
