"""Hints about mail domains: typing mistakes in known domains, and disposable mailboxes."""

import pytest

from crossroads.mail import domain_hints


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gmal.com", "gmail.com"),
        ("gmial.com", "gmail.com"),
        ("gmaill.com", "gmail.com"),
        ("gnail.com", "gmail.com"),
        ("gmail.con", "gmail.com"),
        ("gmail.co", "gmail.com"),
        ("Gmai.Com", "gmail.com"),
        ("gmailcom", "gmail.com"),
        ("hotmial.com", "hotmail.com"),
        ("hotmail.co.ku", "hotmail.co.uk"),
        ("outlok.com", "outlook.com"),
        ("yahooo.com", "yahoo.com"),
        ("yahoo.con", "yahoo.com"),
        ("iclod.com", "icloud.com"),
        ("protonmial.com", "protonmail.com"),
    ],
)
def test_typo_in_a_known_domain_is_corrected_and_mailbox_unchanged(typed: str, meant: str) -> None:
    assert domain_hints.suggest(f"Maria.L+News@{typed}") == f"Maria.L+News@{meant}"


@pytest.mark.parametrize("domain", [*domain_hints.KNOWN, "GMAIL.com"])
def test_known_domain_gets_no_hint(domain: str) -> None:
    assert domain_hints.suggest(f"maria@{domain}") is None


@pytest.mark.parametrize(
    "domain",
    [
        "example.com", "b\u00fccher.example", "acme.com", "outlook.jp", "hotmail.se",
        "hotmail.com.br", "yahoo.com.au", "yahoo.in", "live.se", "mail.de", "gmx.fr", "yandex.ua",
        "aol.de", "proton.ch", "fastmail.fm", "tuta.com", "att.com", "orange.com",
        "company-with-a-long-name.com", "x" * 250, "",
    ],
)  # fmt: skip
def test_other_domain_gets_no_hint(domain: str) -> None:
    assert domain_hints.suggest(f"maria@{domain}") is None


@pytest.mark.parametrize("domain", ["mailinator.com", "YOPMAIL.com", "any.where.mailinator.com"])
def test_disposable_domain_is_recognized_at_subdomains_too(domain: str) -> None:
    assert domain_hints.disposable(domain)


@pytest.mark.parametrize(
    "domain",
    [
        *domain_hints.KNOWN, "com", "example.com", "mailinator.example",
        "mailinator.com.example.org", "duck.com", "mozmail.com",
        "privaterelay.appleid.com", "simplelogin.com",
    ],
)  # fmt: skip
def test_permanent_mailboxes_and_forwarders_are_not_disposable(domain: str) -> None:
    assert not domain_hints.disposable(domain)
