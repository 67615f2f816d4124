"""MX check: asks the DNS whether a domain accepts mail."""

import dns.resolver
from email_validator import EmailNotValidError, EmailUndeliverableError, validate_email
from email_validator.deliverability import caching_resolver

PATIENCE = 5  # seconds for all questions about one domain


class Domains:
    """Looks domains up, and remembers each answer for as long as it is good.

    `resolver` asks other servers than those that this machine is set up with.
    """

    def __init__(self, resolver: dns.resolver.Resolver | None = None) -> None:
        self._resolver = caching_resolver(timeout=PATIENCE, dns_resolver=resolver or _of_machine())

    def refusal(self, email: str) -> str | None:
        """Return why no mail to the address can arrive; None when it can, or nobody knows.

        There is no such domain, it says itself that it takes no mail (RFC 7505), or it has no
        address to take it at. A server of names that is slow or away says nothing.
        """
        try:
            validate_email(email, check_deliverability=True, dns_resolver=self._resolver)
        except EmailUndeliverableError as error:
            cause = error.__cause__
            known = cause is None or isinstance(
                cause, dns.resolver.NXDOMAIN | dns.resolver.NoAnswer
            )
            return str(error) if known else None
        except EmailNotValidError:  # such as a name for tests: the composer judges the form
            return None
        return None


def _of_machine() -> dns.resolver.Resolver:
    try:
        return dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return dns.resolver.Resolver(configure=False)  # knows no server, so it knows nothing
