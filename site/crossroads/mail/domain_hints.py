"""Mail providers: typo hints for well-known domains, and a list of disposable domains."""

from difflib import get_close_matches
from functools import lru_cache

from disposable_email_domains import blocklist

# The providers of most people's mailboxes, and providers whose names are similar to one of those.
# Where a name exists in several countries, one is enough: hotmail.se is not treated as a typo.
KNOWN = (
    "gmail.com", "googlemail.com", "yahoo.com", "yahoo.co.uk", "ymail.com", "rocketmail.com",
    "hotmail.com", "hotmail.co.uk", "outlook.com", "live.com", "live.co.uk", "msn.com",
    "icloud.com", "me.com", "mac.com", "aol.com", "aim.com", "protonmail.com", "proton.me",
    "fastmail.com", "hey.com", "zoho.com", "tutanota.com", "mail.com", "email.com", "gmx.com",
    "gmx.net", "gmx.de", "web.de", "t-online.de", "freenet.de", "posteo.de", "mailbox.org",
    "mail.ru", "inbox.ru", "rambler.ru", "yandex.com", "qq.com", "163.com", "126.com", "sina.com",
    "naver.com", "hanmail.net", "daum.net", "rediffmail.com", "comcast.net", "verizon.net",
    "sbcglobal.net", "bellsouth.net", "charter.net", "cox.net", "att.net", "orange.fr",
    "wanadoo.fr", "laposte.net", "free.fr", "libero.it", "virgilio.it", "telenet.be", "skynet.be",
    "ziggo.nl", "bluewin.ch", "seznam.cz", "interia.pl", "uol.com.br", "bol.com.br",
    "terra.com.br", "bigpond.com", "btinternet.com", "ntlworld.com",
)  # fmt: skip
# Similarity of gmail.com to a copy with one letter added, missing or wrong, or two swapped. A
# shorter name that differs in one letter is mostly a domain of its own.
NEAR = 0.885


def suggest(email: str) -> str | None:
    """Return the address with its domain corrected, or None if the domain is not a likely typo."""
    mailbox, _, domain = email.rpartition("@")
    known = _slip_of(domain.casefold())
    return f"{mailbox}@{known}" if known else None


@lru_cache(maxsize=1024)  # most people share a few domains, and a comparison with all is slow
def _slip_of(domain: str) -> str | None:
    near = get_close_matches(domain, KNOWN, n=1, cutoff=NEAR)
    return near[0] if near and near[0] != domain else None


def disposable(domain: str) -> bool:
    """Return whether an ASCII domain, or a parent of it, offers disposable mailboxes."""
    labels = domain.casefold().split(".")
    return any(".".join(labels[start:]) in blocklist for start in range(len(labels)))
