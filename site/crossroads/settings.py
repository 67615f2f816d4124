"""All settings with environment variable, type and default; checked once at start."""

import os
import re
import secrets
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal

from email_validator import EmailNotValidError, validate_email
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from crossroads import mail_headers, production_rules, service_urls

SECRET_LENGTH = production_rules.SECRET_LENGTH


class SettingsError(Exception):
    """The settings cannot be used. `problems` holds one sentence for each fault."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Settings(BaseSettings):
    """The settings of one installation. The name in capitals is the environment variable."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    env: Literal["development", "production"] = Field(
        "development",
        description="development, or production, where unsafe settings stop the start",
    )
    instance: Path = Field(
        Path("instance"), description="folder for the database, captured mail and keys"
    )
    database_url: str = Field("", description="SQLAlchemy address; SQLite in INSTANCE when not set")
    secret_key: str = Field("", description="signs the desk's cookies; 32 characters or more")
    suppression_key: str = Field(
        "", description="hashes addresses that must not be mailed again; never change or lose it"
    )
    base_url: str = Field("", description="the site's public address, like https://example.com")
    smtp_url: str = Field(
        "",
        description="smtp://user:password@host:587 (STARTTLS) or smtps://host:465; "
        "captured in INSTANCE/mail when not set",
    )
    mail_from: str = Field(
        "The AI Internship <hello@example.com>", description="sender of all mail, Name <address>"
    )
    mx_check: bool = Field(
        False, description="ask the DNS whether a domain takes mail before the first mail to it"
    )
    stripe_secret_key: str = Field(
        "", description="Stripe's secret key, sk_… or rk_…; the sandbox is used when not set"
    )
    stripe_webhook_secret: str = Field(
        "", description="whsec_… of the webhook endpoint; two, comma-separated, while one is rolled"
    )
    stripe_api_base: str = Field(
        "", description="where Stripe's API is; for tests, Stripe itself when not set"
    )
    stripe_test: bool = Field(
        False,
        description="lets production run with a Stripe test key; its pages then say so",
    )
    trusted_proxies: int = Field(
        0, ge=0, le=10, description="how many proxies in front may set X-Forwarded-For"
    )
    metrics_token: str = Field("", description="lets others than this machine read /metrics")
    host: str = Field("127.0.0.1", description="address the web server listens on")
    port: int = Field(8000, ge=1, le=65535, description="port the web server listens on")
    workers: int = Field(2, ge=1, le=64, description="web server processes")
    sandbox_port: int = Field(8001, ge=1, le=65535, description="port of the development mailbox")
    signup_limit: str = Field(
        "20/minute;200/hour", description="sign-ups accepted from one IP address"
    )
    address_limit: str = Field(
        "20/hour;60/day", description="sign-ups accepted for one email address, from any network"
    )
    order_limit: str = Field(
        "30/minute;200/hour", description="orders accepted from one IP address"
    )
    order_address_limit: str = Field(
        "20/hour;60/day", description="orders accepted for one email address, from any network"
    )
    order_look_limit: str = Field(
        "10/minute", description="how often the page of an unpaid order asks Stripe about it"
    )
    held_seats_per_address: int = Field(
        10, ge=1, description="seats that unpaid orders with one email address may hold"
    )
    held_seats_per_network: int = Field(
        15, ge=1, description="seats that unpaid orders from one IP address may hold"
    )
    pending_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="days after which sign-ups that were never confirmed, and participants who "
        "lost their seat, are deleted",
    )

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value:
            return value
        value = value.rstrip("/")
        if not service_urls.is_origin(value):
            raise ValueError("must be scheme and host alone, like https://example.com")
        if not value.isascii():  # mail headers contain it, and those are ASCII
            raise ValueError("must spell the host in ASCII, like https://xn--bcher-kva.example")
        return value.lower()

    @field_validator("stripe_api_base")
    @classmethod
    def _is_where_stripe_is(cls, value: str) -> str:
        value = value.rstrip("/")
        # The content security policy of pages with a pay form contains it: nothing may follow it.
        if value and not (
            service_urls.is_origin(value) and re.fullmatch(r"[\w.:/\[\]-]+", value, re.ASCII)
        ):
            raise ValueError("must be scheme and host alone, like http://127.0.0.1:8001")
        return value.lower()

    @field_validator("stripe_secret_key")
    @classmethod
    def _is_not_public(cls, value: str) -> str:
        if value.startswith("pk_"):
            raise ValueError("is the publishable key, pk_…: set it to the secret key, sk_… or rk_…")
        return value

    @field_validator("host")
    @classmethod
    def _is_an_ip_address(cls, value: str) -> str:
        try:
            return str(ip_address(value))
        except ValueError:
            raise ValueError(
                "must be an IP address: 127.0.0.1 for this machine alone, 0.0.0.0 or :: for all"
            ) from None

    @field_validator("database_url")
    @classmethod
    def _is_a_database(cls, value: str) -> str:
        return service_urls.database_url(value) if value else value

    @field_validator("smtp_url")
    @classmethod
    def _is_a_mail_server(cls, value: str) -> str:
        return service_urls.smtp_url(value) if value else value

    @field_validator("mail_from")
    @classmethod
    def _is_a_sender(cls, value: str) -> str:
        try:
            validate_email(
                mail_headers.parse_mailbox(value)[1],
                check_deliverability=False,
                test_environment=True,
                allow_smtputf8=False,
            )
        except EmailNotValidError:
            raise ValueError("must look like The Team <hello@example.com>") from None
        return value

    @field_validator(
        "signup_limit", "address_limit", "order_limit", "order_address_limit", "order_look_limit"
    )
    @classmethod
    def _is_a_limit(cls, value: str) -> str:
        from limits import parse_many

        try:
            parse_many(value)
        except ValueError:
            raise ValueError("must look like 20/minute;200/hour") from None
        return value

    @property
    def production(self) -> bool:
        return self.env == "production"

    @property
    def stripe_live(self) -> bool:
        """Whether the key is a live key, by its prefix: https://docs.stripe.com/keys"""
        return self.stripe_secret_key.startswith(("sk_live_", "rk_live_"))

    @property
    def mail_folder(self) -> Path:
        """Folder of captured mail while no SMTP_URL is set."""
        return self.instance / "mail"

    @property
    def share_folder(self) -> Path:
        """Folder of the images that are shown when a page is shared."""
        return self.instance / "share"

    @property
    def webhook_secrets(self) -> list[str]:
        """All secrets that may have signed an event."""
        return [one.strip() for one in self.stripe_webhook_secret.split(",") if one.strip()]

    @property
    def pay_page_origins(self) -> list[str]:
        """Origins that a form may redirect a buyer to: browsers check redirects of forms, too."""
        stand_in = [self.stripe_api_base] if self.stripe_api_base else []
        return ["https://checkout.stripe.com", *stand_in]

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"


def load(root: Path, **given: Any) -> Settings:
    """Read the settings from `given`, the environment and INSTANCE/settings.env, in that order.

    Outside production, missing settings get safe defaults, and missing keys are created once in
    the instance folder. Raises SettingsError with all faults.
    """
    instance = Path(given.pop("instance", None) or os.environ.get("INSTANCE") or "instance")
    instance = instance if instance.is_absolute() else root / instance
    file = instance / "settings.env"
    try:
        settings, problems = _read(file, {**given, "instance": instance})
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{file}: cannot be read: {error}"]) from None
    if not settings.production and settings.stripe_live:
        problems.append(
            "STRIPE_SECRET_KEY: moves real money, and this is development: use a test key, "
            "sk_test_… or rk_test_…"
        )
    if settings.production:
        named = {problem.partition(":")[0] for problem in problems}
        problems += [
            one for one in production_rules.unsafe(settings) if one.partition(":")[0] not in named
        ]
    if problems:
        raise SettingsError(problems)
    try:
        instance.mkdir(parents=True, exist_ok=True)
        return settings if settings.production else settings.model_copy(update=_made(settings))
    except OSError as error:
        where = error.filename or instance
        raise SettingsError([f"INSTANCE: {where} cannot be used: {error.strerror}"]) from None


def _read(file: Path, given: dict[str, Any]) -> tuple[Settings, list[str]]:
    """Return the settings and their faults, as sentences; a wrong setting has its default."""
    try:
        return Settings(_env_file=file, **given), []
    except ValidationError as error:
        faults = error.errors()
    defaults = {
        str(fault["loc"][0]): Settings.model_fields[str(fault["loc"][0])].default
        for fault in faults
    }
    rest = Settings(_env_file=file, **{**given, **defaults})
    return rest, [_sentence(fault) for fault in faults]


def _sentence(fault: Any) -> str:
    name = str(fault["loc"][0]).upper()
    message = fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    message = message.partition(", unable to")[0]
    shown = "" if _is_secret(name) else f", not {str(fault['input'])!r}"
    return f"{name}: {message[0].lower()}{message[1:]}{shown}"


def _is_secret(name: str) -> bool:
    return name.endswith(("_KEY", "_TOKEN", "_URL", "_BASE", "_SECRET"))


def _made(settings: Settings) -> dict[str, Any]:
    database = settings.instance / "crossroads.db"
    if not settings.database_url:
        database.touch(mode=0o600)  # it will contain people's addresses
    return {
        "secret_key": settings.secret_key or _made_once(settings.instance / "secret_key"),
        "suppression_key": settings.suppression_key
        or _made_once(settings.instance / "suppression_key"),
        "database_url": settings.database_url or f"sqlite:///{database}",
        "base_url": settings.base_url or f"http://127.0.0.1:{settings.port}",
        **({} if settings.stripe_secret_key else _sandboxed(settings)),
    }


def _sandboxed(settings: Settings) -> dict[str, Any]:
    """Return the settings that replace Stripe by the sandbox: the app has no other difference."""
    return {
        "stripe_secret_key": "sk_test_sandbox",
        "stripe_webhook_secret": settings.stripe_webhook_secret
        or "whsec_" + _made_once(settings.instance / "sandbox_webhook_secret"),
        "stripe_api_base": settings.stripe_api_base or settings.sandbox_url,
    }


def _made_once(path: Path) -> str:
    """Return the key in the file, created if missing; concurrent starts get the same key."""
    if not path.exists():
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        draft.touch(mode=0o600, exist_ok=False)
        draft.write_text(secrets.token_urlsafe(SECRET_LENGTH), encoding="ascii")
        try:
            os.link(draft, path)  # fails when another process was first
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    key = path.read_text(encoding="utf-8", errors="replace").strip()
    if len(key) < SECRET_LENGTH:
        raise SettingsError(
            [
                f"{path}: must hold {SECRET_LENGTH} characters or more: put the key back, "
                "or delete the file to have a new one made"
            ]
        )
    return key
