"""Finds unknown columns that may mark people as unsubscribed."""

import re
import unicodedata
from collections.abc import Collection
from typing import Final

from crossroads.leads.imports.status import (
    CROSSES,
    NO,
    OPEN,
    TICKS,
    WORDS,
    YES,
    NotKnown,
    Standing,
    fold,
    other_channel,
    parse_word,
)
from crossroads.leads.imports.times import looks_like_time

FEW: Final = 12  # different values, as a status has; names and places have more
# Columns that sound like it and are known to say something else.
HARMLESS: Final = frozenset(
    {
        # Whether they pay: Substack, Patreon.
        *("active subscription", "subscription type", "subscription tier", "subscription interval"),
        *("subscriber id", "subscription id", "contact id", "email type", "is marketing user"),
        # Mailchimp: from where they agreed, in Constant Contact, too.
        *("optin ip", "opt in ip", "confirm ip", "subscribed ip", "email optin source"),
        *("optin page", "optin url", "subscription source", "subscribe form", "signup source"),
        # Whether they pay, Ghost; no tax, Shopify; in an automation, HubSpot. The rest: believed.
        *("complimentary plan", "comped", "tax exempt", "currently in workflow", "vip", "is vip"),
        # Where "no" is Norway or Norwegian, "f" a woman, and "1" a number.
        *("country", "country code", "land", "pays", "país", "paese", "language", "lang", "locale"),
        *("sprache", "langue", "idioma", "lingua", "taal", "gender", "sex", "geschlecht", "leid"),
        *("euid", "member rating", "orders", "total orders", "orders count", "number"),
        # What people write in their own script: names of places, firms and things.
        *("city", "town", "ort", "stadt", "ville", "ciudad", "address", "street", "company"),
        *("firma", "organization", "organisation", "job title", "position"),
        # How often they read, MailerLite.
        *("sent", "opens", "clicks"),
    }
)
# Words in the name of a file that holds nobody else. Mailchimp: unsubscribed_members, and cleaned.
# Sendy: -unconfirmed, -marked-as-spam. SendGrid: suppression_bounces. AWeber: inactive_leads.
FILES: Final = re.compile(
    r"\b(un ?subs?|un ?subscri\w*|opt(ed)? ?outs?|bounce[ds]?|cleaned|suppress\w*"
    r"|(black|block) ?list\w*|block(s|ed)|spam|complain\w*|invalid\w*|inactive|unconfirmed"
    r"|abgemeldet|abmeldungen|gesperrt|désabonnés|bajas|do not (e ?)?mail)\b"
)
# Postal addresses, as Salesforce's MailingCity, and numbers of records.
LOCATIONS: Final = re.compile(
    r"((mailing|postal|billing|shipping|home|work|other|default) )*(address )?"
    r"(street|city|town|zip( code)?|postal code|postcode|country( code)?|latitude|longitude"
    r"|geocode accuracy|address( line)?( \d)?)|(.* )?u?u?id"
)
SUSPECT: Final = re.compile(
    r"unsub|subscri|suscri|abmeld|abgemeld|anmeld|opt ?in|opt ?out|opted|status|stat[uo]t?\b"
    r"|\bstate\b|bounc|clean|block|black|suppress|delet|disabl|enabl|activ|aktiv|\bactif|consent"
    r"|permis|permit|complain|spam|junk|abuse|\bdnc\b|do ?not|\bno mail|remov|archiv|\bgone\b"
    r"|\bleft\b|cancel|einwillig|gesperrt|sperr|gelösch|lösch|bestätig|confirm|verifi|valid|reachab|deliverab"
    r"|quarant|désabonn|désinscr|abonn|\bbaja\b|iscri|afgemeld|schreven|newsletter|mailing"
    r"|marketing|gdpr|dsgvo|rgpd|reject|\bdead\b|\bstop|exclu|agree|accept|allow|zustimm|widerruf|erlaub|forget"
    r"|contactable|mailable|\bwithdr|revok|refus|object|prefer|präfer|préf[ée]r|frequen|fréquen|frecuen|häufig|digest"
    r"|quality|qualität|qualité"
)
# The word of a whole cell, or of a part of it, that says it whatever the column is called.
PLAIN: Final = frozenset(
    word
    for word, standing in WORDS.items()
    if word not in ("left", "gone")
    and (
        standing in (Standing.LEFT, Standing.BOUNCED)
        or (
            re.search(r"sub|opt|confirm|abonn|marketing", word) and standing is Standing.UNCONFIRMED
        )
    )
)
LISTED: Final = re.compile(r"[,;|\"\n]")
# What says it within a text, as fold() has it, so that "don't" is "don t".
WITHIN: Final = re.compile(
    # English
    r"\b(?:unsub|unsubscrib\w*|unsubscription|opt(?:ed|s|ing)? ?outs?|(?:black|block)listed"
    r"|undeliverable|(?:hard ?)?bounced|hard ?bounces?|marked as spam"
    r"|(?:do not|don t|dont|must not|may not|never|no longer|stop|not to|wants? no|please no)"
    r" (?:be )?(?:e ?)?(?:mail|mails|mailed|mailing|contact|contacted|contacting|write|send|sending"
    r"|newsletters?)"
    r"|no (?:more )?(?:e ?mails?|mails?|mailings?|newsletters?|contact)"
    r"|(?:remove|removed|delete|deleted|take|taken) (?:\w{1,20} )?(?:from|off)"
    r" (?:\w{1,20} ){0,4}list"
    # German, Dutch, Scandinavian
    r"|abgemeldet|abbestell\w*|ausgetragen|austragen|unzustellbar|werbewiderspruch|widersprochen"
    r"|keine? (?:e ?)?(?:mails?|newsletter|werbung|mailings?)"
    r"|nicht (?:mehr )?(?:an|be)?(?:schreiben|mailen|kontaktieren|geschrieben|angeschrieben)"
    r"|uitgeschreven|afgemeld|niet (?:meer )?(?:mailen|contacteren|benaderen)|geen (?:e ?)?mails?"
    r"|avregistrer\w*|avmeldt|afmeldt|avprenumerera\w*"
    # French, Spanish, Portuguese, Italian
    r"|désabonn\w*|désinscri\w*|ne (?:plus|pas) (?:envoyer|contacter|écrire|solliciter)"
    r"|pas de (?:mails?|courriels?)|de baja|desuscri\w*|no (?:enviar|contactar|escribir)"
    r"|descadastrad\w*|não (?:enviar|contatar|contactar)|disiscritt\w*"
    r"|non (?:contattare|scrivere|inviare)"
    # Polish, Czech
    r"|wypisan\w*|nie wysyłać|odhlášen\w*|neposílat"
    # Russian and Ukrainian
    r"|отпис\w*|відпис\w*|не (?:писать|беспокоить|присылать|отправлять))\b"
    # Japanese, Chinese, Korean, Arabic, Hebrew
    r"|退会|配信停止|購読解除|解除済|退订|退訂|取消订阅|取消訂閱"
    r"|수신 ?거부|구독 ?취소"
    r"|إلغاء الاشتراك|ألغى الاشتراك|הוסר|הסר"
)
EMPTY: Final = frozenset("-–—.?/")  # what people write for nothing
LINK: Final = re.compile(r"https?://\S+")
# What a column with few other words, too, must not say without a look at it.
DENIED: Final = frozenset(word for word in NO if len(word) > 1) | {"nie", "jamais", "nunca"}


def suspect(head: str) -> bool:
    """Return whether an unknown column of this folded name could mark people who left."""
    return not (harmless(head) or other_channel(head)) and SUSPECT.search(head) is not None


def harmless(head: str) -> bool:
    """Return whether a column of this folded name is known to mean something else."""
    return head in HARMLESS or LOCATIONS.fullmatch(head) is not None


def exclusion_word(name: str) -> str:
    """Return the word in a file's name that means its people unsubscribed; "" if none does."""
    found = FILES.search(fold(name))
    return found[0] if found else ""


def plain_exclusion(cell: str) -> str:
    """Return the text in a cell of any column that means unsubscribed; "" if there is none."""
    if not cell:
        return ""
    for part in LISTED.split(cell):
        if len(part) < 40 and fold(part) in PLAIN:
            return part.strip()
    found = WITHIN.search(fold(LINK.sub(" ", cell)))
    return (cell if len(cell) <= 40 else f"… {found[0]} …") if found else ""


def could_say_no(head: str, values: Collection[str]) -> bool:
    """Tell whether a column could say who may be mailed, from its name, folded, and its values.

    It could when all its values are yes or no, or when it has few of them and one is a no, the name
    has to do with mail, or either is in letters that nobody here reads.
    """
    if not values or harmless(head) or other_channel(head):
        return False
    if all(_flag(value) for value in values):
        return True
    if len(values) > FEW:
        return False
    if any(fold(value) in DENIED for value in values):
        return True
    worded = [value for value in values if not _data(value)]
    if not worded:
        return False
    return "mail" in head or any(map(foreign, (head, *worded)))


def foreign(text: str) -> bool:
    """Return whether a text has letters other than Latin ones."""
    return any(
        one.isalpha() and not unicodedata.name(one, "").startswith(("LATIN", "FEMININE", "MASC"))
        for one in text
        if one > "\x7f"
    )


def _flag(value: str) -> bool:
    try:
        return parse_word(value) in YES | NO
    except NotKnown:
        return len(value) == 1 and value not in EMPTY  # a sign that is not known


def _data(value: str) -> bool:
    """Tell whether a value is a number, a time, an address or a link: none says who left."""
    plain = fold(value).replace(" ", "")
    number = not plain or plain.isdecimal()
    return number or "@" in value or looks_like_time(value) or LINK.fullmatch(value) is not None


def unsure_signs(values: Collection[str]) -> list[str]:
    """Return the crosses among a column's values that may mean yes as well as no.

    Beside a tick, an open box or a yes, a cross clearly means no; an x does not.
    """
    plain = {value.replace("\ufe0f", "").strip() for value in values}
    crosses = plain & CROSSES
    if plain & (TICKS | OPEN) or any(fold(value) in YES - {"x"} for value in plain):
        crosses = {value for value in plain if fold(value) == "x"}
    return sorted(crosses)
