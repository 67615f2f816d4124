"""MX check: asks the DNS whether a domain accepts mail."""

import dns.resolver
from email_validator import EmailNotValidError, EmailUndeliverableError, validate_email
from email_validator.deliverability import caching_resolver

PATIENCE = 5  # seconds for all DNS queries about one domain


class Domains:
    """Looks up domains, and caches each answer until it expires.

    Pass `resolver` to ask other DNS servers than those of this machine.
    """

    def __init__(self, resolver: dns.resolver.Resolver | None = None) -> None:
        self._resolver = caching_resolver(timeout=PATIENCE, dns_resolver=resolver or _of_machine())

    def refusal(self, email: str) -> str | None:
        """Return why no mail to the address can arrive; None when it can, or it is unknown.

        Reasons: the domain does not exist, declares that it accepts no mail (RFC 7505), or has no
        address to deliver to. A slow or unreachable DNS server counts as unknown.
        """
        try:
            validate_email(email, check_deliverability=True, dns_resolver=self._resolver)
        except EmailUndeliverableError as error:
            cause = error.__cause__
            known = cause is None or isinstance(
                cause, dns.resolver.NXDOMAIN | dns.resolver.NoAnswer
            )
            return str(error) if known else None
        except EmailNotValidError:  # such as a domain for tests: the composer checks the syntax
            return None
        return None


def _of_machine() -> dns.resolver.Resolver:
    try:
        return dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return dns.resolver.Resolver(configure=False)  # without servers: every answer is unknown
