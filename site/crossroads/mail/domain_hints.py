"""Mail providers: typo hints for well-known domains, and a list of disposable domains."""

from difflib import get_close_matches
from functools import lru_cache

from disposable_email_domains import blocklist

# Where most mailboxes of people are, and what looks like one of those and is a provider itself.
# One land of each is enough where a name is the same in several: hotmail.se is no slip.
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
# One letter too many, missing or wrong, or two in the wrong order, in a name as long as gmail.com:
# a shorter one with another letter in it is mostly somebody else's.
NEAR = 0.885


def meant(email: str) -> str | None:
    """Return what an address was probably meant to be, when its domain is a slip of a known one."""
    mailbox, _, domain = email.rpartition("@")
    known = _slip_of(domain.casefold())
    return f"{mailbox}@{known}" if known else None


@lru_cache(maxsize=1024)  # most people share a few, and to compare one with all takes a while
def _slip_of(domain: str) -> str | None:
    near = get_close_matches(domain, KNOWN, n=1, cutoff=NEAR)
    return near[0] if near and near[0] != domain else None


def disposable(domain: str) -> bool:
    """Tell whether mailboxes at an ASCII domain are thrown away, or at one that it is part of."""
    labels = domain.casefold().split(".")
    return any(".".join(labels[start:]) in blocklist for start in range(len(labels)))
