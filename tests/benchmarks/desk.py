"""A member of staff at the desk of a site in production."""

import subprocess
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlencode

from tests.benchmarks.sites import FLASK, ROOT
from tests.support.desk_visits import TOKEN

EMAIL = "bench@courses.internal"
PASSWORD = "correct horse battery"


def hire(variables: dict[str, str]) -> None:
    """Add the account that Desk signs in with. Raises CalledProcessError."""
    subprocess.run(
        [FLASK, "users", "add", EMAIL, "--role", "owner", "--password-stdin"],
        cwd=ROOT, env=variables, input=PASSWORD, text=True, check=True, capture_output=True,
    )  # fmt: skip


class Desk:
    """A signed-in browser, as if behind a proxy with TLS."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookies: dict[str, str] = {}
        answer = self.send("/admin/login", {"email": EMAIL, "password": PASSWORD, "next": ""})
        answer.read()
        if answer.status != 303:
            raise RuntimeError(f"no sign-in at the desk: {answer.status}")

    def get(self, path: str) -> str:
        """Return the page at the path. Raises RuntimeError for another status than 200."""
        answer = self._ask("GET", path)
        text = answer.read().decode()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
        return text

    def send(self, path: str, fields: dict[str, str], page: str = "") -> HTTPResponse:
        """Send the form of a page (by default of the path itself); return the unread response."""
        found = TOKEN.search(self.get(page or path))
        if found is None:
            raise RuntimeError(f"{page or path} has no form")
        return self._ask("POST", path, urlencode({"csrf_token": found[1], **fields}))

    def export(self, kind: str) -> int:
        """Download all leads as a file of this kind, and return its size in bytes."""
        answer = self.send("/admin/leads/export", {"format": kind}, "/admin/password")
        size = 0
        while part := answer.read(1 << 20):
            size += len(part)
        if answer.status != 200 or size != int(answer.headers["Content-Length"]):
            raise RuntimeError(f"no whole export: {answer.status}, {size} bytes")
        return size

    def _ask(self, method: str, path: str, body: str = "") -> HTTPResponse:
        headers = {
            "Host": "courses.internal",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "192.0.2.1",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection = HTTPConnection("127.0.0.1", self._port, timeout=600)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        for cookie in answer.headers.get_all("Set-Cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer
