"""The output of flask doctor."""

from typing import Any, NamedTuple

from flask import Flask

from tests.support.production import SELLING

RESTRICTED = "rk_test_" + "51abc"

SECRET = "whsec_" + "5" * 8

LIVE_SITE: Any = {**SELLING, "stripe_webhook_secret": SECRET}

COURSE = "site/content/courses/ai-pm-bootcamp.yaml"


class Verdict(NamedTuple):
    """The exit code of the doctor, and its lines."""

    code: int
    lines: list[str]

    @property
    def wrong(self) -> list[str]:
        return [line.removeprefix("wrong: ") for line in self.lines if line.startswith("wrong: ")]

    def about(self, words: str) -> list[str]:
        return [line for line in self.lines if words in line]


def verdict(app: Flask) -> Verdict:
    result = app.test_cli_runner().invoke(args=["doctor"])
    assert not result.stderr, result.stderr
    return Verdict(result.exit_code, result.stdout.splitlines())
