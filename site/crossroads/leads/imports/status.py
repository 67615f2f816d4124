"""Status columns of other programs: agreed, unsubscribed, bounced or never confirmed.

Known names and values are tables below. Where one was seen in a program's documentation or in its
own tests the program is named; "believed" marks what we have not seen.
"""

import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from crossroads.leads.imports.times import looks_like_time


class Standing(StrEnum):
    """A person's status in a file."""

    AGREED = "agreed"
    UNCONFIRMED = "never confirmed"
    BOUNCED = "bounced"
    LEFT = "left"


class Rule(StrEnum):
    """How the cells of a column are read."""

    STATE = "our own word; empty is confirmed"
    STATUS = "a word; empty says that they never agreed"
    DETAIL = "a word, or yes for confirmed; empty says nothing"
    GIVEN = "a word, or yes for agreed, no for left; empty says that they never agreed"
    GONE = "yes, a time or a number for left"
    BOUNCE = "yes, a time or a number for bounced"
    LEFT_WHEN = "whatever is there, but no: left"
    BOUNCED_WHY = "whatever is there, but no: bounced"


class NotKnown(Exception):
    """A cell with a value that the tables below do not list."""


# Values of a whole cell, as fold() returns them.
_AGREED = """
    agreed, confirmed, active, activated, enabled, subscribed, subscriber, opted in, opt in, optin,
    double opt in, double, single opt in, single, implied, express, explicit, marketing contact,
    email, marketing, aktiv, aktiviert, angemeldet,
    bestätigt, abonniert, actif, abonné, inscrit, activo,
    suscrito, attivo, iscritto, actief, ingeschreven
"""
_LEFT = """
    left, unsubscribed, unsubscribe, opted out, opt out, optout, opt outs, disabled, blocklisted,
    blocked, blacklisted, blacklist, suppressed, cancelled, canceled, deleted, removed, archived,
    inactive, inactivated, deactivated, complained, complaint, complaints, spam, spam complaint,
    marked as spam, junk, abuse, abused, gone, do not contact, do not email, do not mail, forgotten,
    global unsubscribe, abgemeldet, inaktiv, deaktiviert, gesperrt, gelöscht, unerwünscht,
    désabonné, désinscrit, inactif, baja, desuscrito, cancelado, inactivo, disiscritto,
    uitgeschreven,
    afgemeld, inattivo
"""
_BOUNCED = """
    bounced, bounce, hard bounced, hard bounce, hardbounce, soft bounced, soft bounce, cleaned,
    unreachable, undeliverable, invalid, invalid email, rejected, dropped, gebounct, unzustellbar,
    ungültig, rebotado, rimbalzato
"""
_UNCONFIRMED = """
    unconfirmed, not confirmed, pending, held, waiting, erased, awaiting confirmation, never
    subscribed, not subscribed, non subscribed, nonsubscribed, non marketing contact, double opt in
    pending, invited, validating, needs attention, non marketing, no permissions set, no permission,
    not set, unknown, transactional, cold,
    unbestätigt, nicht bestätigt, ausstehend, non confirmé, no confirmado, in attesa
"""


def _words(text: str, standing: Standing) -> dict[str, Standing]:
    return {" ".join(word.split()): standing for word in text.split(",")}


# listmonk: enabled, disabled, blocklisted. Keila: active, unsubscribed, unreachable. Mailchimp:
# subscribed, unsubscribed, cleaned. Kit: active, inactive, cancelled, bounced, complained.
# rapidmail: Aktiv, Unbestätigt, Gebounct, Unerwünscht, Abgemeldet. Constant Contact: Active,
# Unsubscribed, Awaiting Confirmation, No Permissions Set. MailerLite: active, unsubscribed,
# bounced, junk, unconfirmed. Klaviyo: SUBSCRIBED, UNSUBSCRIBED, NEVER_SUBSCRIBED. HubSpot:
# double_opt_in_pending. beehiiv: validating, pending, active, inactive, invalid, needs_attention.
# Zoho Campaigns: marketing, non-marketing. Sendy: Marked as spam. The rest, and other languages:
# believed.
WORDS: Final[Mapping[str, Standing]] = {
    **_words(_AGREED, Standing.AGREED),
    **_words(_LEFT, Standing.LEFT),
    **_words(_BOUNCED, Standing.BOUNCED),
    **_words(_UNCONFIRMED, Standing.UNCONFIRMED),
}
YES: Final = frozenset(
    {
        *("yes", "y", "true", "t", "1", "x", "on", "checked"),
        *("ja", "j", "wahr", "oui", "vrai", "si", "sí", "sim", "vero"),
    }
)
NO: Final = frozenset(
    {
        *("no", "n", "false", "f", "0", "off", "unchecked", "never"),
        *("nein", "falsch", "non", "faux", "não", "falso", "nee"),
    }
)
NOTHING: Final = frozenset({"", "null", "none", "n a", "nan", "undefined"})
NO_TIME: Final = re.compile(r"0000-00-00.*")

_HEADS: Final[Mapping[Rule, str]] = {
    # Mailchimp's audience names none: there the files differ. Kit calls it state, beehiiv Status.
    Rule.STATUS: """
        status, email status, subscription status, subscriber status, contact status, member status,
        list status, global status, email subscription status, marketing status, permission status,
        email marketing status, email permission status, consent status, subscription state,
        subscriber state, abonnement status, anmeldestatus, statut, estado, stato,
        email marketing subscription status
    """,
    # HubSpot; the second is what its marketing contacts cost, and no others are mailed. AWeber:
    # Verified, and Stop Status (believed), which is empty for people who did not leave.
    Rule.DETAIL: """
        marketing email confirmation status, marketing contact status, double opt in, double optin,
        doi, confirmed, is confirmed, activated, email confirmed, verified, is verified,
        email verified, bestätigt, aktiviert, confirmation status, opt in status, optin status,
        stop status
    """,
    # Ghost: subscribed_to_emails. Klaviyo: Email Marketing Consent. Shopify: Accepts Email
    # Marketing. Mailgun: subscribed. CleverReach, Sendy: active (believed).
    Rule.GIVEN: """
        subscribed, is subscribed, subscribed to emails, subscribed to newsletter, opt in, optin,
        opted in, email opt in, email optin, email consent, email marketing consent, marketing
        consent, consent, consented, gdpr consent, email permission, permission, accepts marketing,
        accepts email marketing, marketing opt in, newsletter opt in, newsletter consent, active,
        is active, aktiv, enabled, is enabled, marketing allowed, can email, einwilligung,
        newsletter einwilligung, angemeldet, abonniert, email subscribed, marketing accepted,
        email marketing
    """,
    # Salesforce: HasOptedOutOfEmail, Email Opt Out, as in Zoho. HubSpot: Unsubscribed from all
    # email, Portal Unsubscribe, Portal Spam Report. Brevo: EMAIL_BLACKLISTED. Mautic: doNotEmail.
    # Substack: email_disabled. Ghost: deleted_at. Salesforce: IsDeleted. SendGrid: believed.
    Rule.GONE: """
        unsubscribed, is unsubscribed, unsubscribe, unsubscribed from all email, unsubscribed from
        all emails, global unsubscribe, global unsubscribed, portal unsubscribe, opt out, optout,
        opted out, is opted out, email opt out, email optout, email opted out, has opted out,
        has opted out of email, opted out of email, opted out of emails, email blocklisted, email
        blacklisted, blocklisted, blacklisted, blacklist, blocklist, email blacklist, email
        blocklist, is blacklisted, is blocklisted, blocked, is blocked, suppressed, is suppressed,
        email suppressed, suppression, deleted, is deleted, disabled, is disabled, email disabled,
        do not email, do not mail, do not contact, donotcontact, donotemail, dnc, no email,
        email dnc, spam, is spam, spam report, portal spam report, spam complaint, marked as spam,
        complained, complaint, archived, is archived, deactivated, is deactivated, inactive,
        removed, cancelled, canceled, abgemeldet, gesperrt, gelöscht, deaktiviert, inaktiv,
        désabonné,
        désinscrit, disiscritto, uitgeschreven, afgemeld, baja
    """,
    # HubSpot: Portal Bounce, Global Bounce. Salesforce: IsEmailBounced. Mailchimp: cleaned.
    Rule.BOUNCE: """
        bounced, is bounced, is email bounced, email bounced, hard bounced, hard bounce, hardbounce,
        bounce, portal bounce, global bounce, cleaned, is cleaned, undeliverable, invalid, gebounct
    """,
    # Mailchimp: UNSUB_TIME, UNSUB_REASON, UNSUB_CAMPAIGN_TITLE. Constant Contact: email_optout_date
    # and email_optout_reason. MailUp: OptOut_Date. AWeber: Inactive Date, Stop Time (believed).
    Rule.LEFT_WHEN: """
        unsub time, unsub date, unsubscribe time, unsubscribe date, unsubscribed time, unsubscribed
        date, unsubscribed at, unsubscribed on, date unsubscribed, unsubscription date,
        unsub reason,
        unsub reason other, unsub campaign title, unsub campaign id, unsubscribe reason,
        unsubscribed reason, unsubscription reason, unsubscribed mode, unsubscribed campaign,
        opt out
        date, optout date, opt out time, optout time, opted out at, opted out date, email opt out
        date, email optout date, email opt out reason, email optout reason, opt out reason, optout
        reason, email optout source, email opt out source, optout type, optout subtype, optout nl,
        stop time, stop date, inactive date, inactive at, inactive since,
        deleted at, deleted on, deleted date, deactivated at, cancelled at,
        canceled at, removed at, suppressed at, blocked at, complained at, blacklisted at,
        blocklisted at, suppression reason, disabled at, archived at, complaint date, abmeldedatum,
        abgemeldet am, abmeldung, abmeldegrund, gesperrt am, gelöscht am
    """,
    # Mailchimp: CLEAN_TIME, CLEAN_CAMPAIGN_TITLE. Salesforce: EmailBouncedReason, EmailBouncedDate.
    # HubSpot: Email hard bounce reason, of which any that is there is a stop.
    Rule.BOUNCED_WHY: """
        clean time, clean campaign title, clean campaign id, cleaned at, email hard bounce reason,
        email bounced reason, email bounced date, bounce reason, bounced reason, bounced at, bounced
        on, bounce date, bounced date, hard bounced at, invalid email reason, bounce type,
        email latest bounce date time, email latest bounce reason text
    """,
}
HEADS: Final[Mapping[str, Rule]] = {
    "state": Rule.STATE,
    **{" ".join(head.split()): rule for rule, heads in _HEADS.items() for head in heads.split(",")},
}
# HubSpot has one such column for each kind of mail: "Opted out of email: Newsletter".
OPT_OUTS: Final = ("opted out of email ", "opt out of email ", "unsubscribed from ")
# A letter is not one of them: many lists mean the newsletter by it.
OTHER_CHANNELS: Final = re.compile(
    r"\b(sms|fax|(tele)?phone|telefon\w*|t[ée]l[ée]phone|tel[ée]fono|calls?|whatsapp|push|mobile"
    r"|handy|postal)\b"
)
# What else a head names than that channel: mail is email, and "all" is every channel.
EMAIL_TOO: Final = re.compile(r"mail|news|letter|correo|courriel|brief|\b(all|any|every\w*|both)\b")
# Signs that programs and people write in a cell. A crossed box may mean either, and is not known.
TICKS: Final = frozenset("✓✔☑✅")
CROSSES: Final = frozenset("✗✘❌")
OPEN: Final = frozenset("☐")


def fold(text: str) -> str:
    """Return a head or a cell as the tables have it: words of small letters, one space between.

    HasOptedOutOfEmail becomes "has opted out of email", and DOUBLE_OPT-IN "double opt in".
    """
    apart = re.sub(r"(?<=[a-zäöü0-9])(?=[A-ZÄÖÜ])", " ", text)
    shown = unicodedata.normalize("NFKC", apart).casefold()
    return " ".join(re.sub(r"[\W_]+", " ", shown).split())


def rule_of(head: str) -> Rule | None:
    """Return how a column of this name, folded, is read; None if it is not known."""
    if head in HEADS:
        return HEADS[head]
    return Rule.GONE if head.startswith(OPT_OUTS) and not OTHER_CHANNELS.search(head) else None


def other_channel(head: str) -> bool:
    """Return whether a column of this folded name is only about another channel, such as SMS."""
    return OTHER_CHANNELS.search(head) is not None and EMAIL_TOO.search(head) is None


def parse_word(cell: str) -> str:
    """Return the word that a cell says, "" for an empty one. Raises NotKnown for other signs."""
    if word := fold(cell):
        return word
    sign = cell.replace("\ufe0f", "").strip()  # without what makes it an emoji
    if sign in TICKS:
        return "yes"
    if sign in CROSSES | OPEN:
        return "no"
    if sign:
        raise NotKnown(cell)
    return ""


def standing(rule: Rule, cell: str) -> Standing | None:
    """Return the status that a cell gives; None for none. Raises NotKnown."""
    word = parse_word(cell)
    if not word and rule is Rule.STATE:
        return Standing.AGREED
    if word in NOTHING:
        asked = rule in (Rule.STATE, Rule.STATUS, Rule.GIVEN)
        return Standing.UNCONFIRMED if asked else None
    no = word in NO or NO_TIME.fullmatch(cell) is not None
    yes = word in YES or word.isdecimal() or looks_like_time(cell)
    match rule:
        case Rule.STATE | Rule.STATUS:
            return _word(word)
        case Rule.LEFT_WHEN:
            return None if no else Standing.LEFT
        case Rule.BOUNCED_WHY:
            return None if no else Standing.BOUNCED
        case Rule.GIVEN | Rule.DETAIL if no:
            return Standing.LEFT if rule is Rule.GIVEN else Standing.UNCONFIRMED
        case Rule.GIVEN | Rule.DETAIL:
            return Standing.AGREED if yes else _word(word)
        case Rule.GONE | Rule.BOUNCE:
            if no or yes:
                gone = Standing.LEFT if rule is Rule.GONE else Standing.BOUNCED
                return None if no else gone
            found = _word(word)
            if found is Standing.AGREED:  # "confirmed", in a column of those who left
                raise NotKnown(cell)
            return found


def _word(word: str) -> Standing:
    if word not in WORDS:
        raise NotKnown(word)
    return WORDS[word]
