"""Unicode characters, and the invisible ones among them."""

import sys
import unicodedata

SIGNS = [chr(code) for code in range(sys.maxunicode + 1)]

FORMAT = [sign for sign in SIGNS if unicodedata.category(sign) == "Cf"]

SHOWS_NOTHING = [*FORMAT, "\u034f", "\u115f", "\u3164", "\ufe0f", "\ufeff", "\U000e0100"]
