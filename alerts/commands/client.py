"""How does a command ask the API, and what does its user see when the API says no?

The address: ``--api``, or ``TOCSIN_API``, or where the settings of this machine say that it listens. The token:
``--token`` or ``TOCSIN_TOKEN``; none where the API asks for none. Nothing is asked of the user, so that a script
never hangs. Exit status: 0 done, 1 the API said no or cannot be reached, 2 typed or set wrongly.
"""

from __future__ import annotations

import secrets
import sys
from typing import Annotated, Any, Final

import httpx2
import typer
from rich.console import Console

from tocsin.errors import SettingError
from tocsin.settings import PREFIX, load

EXIT_FAILED: Final = 1
TIMEOUT_S: Final = 15.0
PAGE: Final = 200
EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  (compared, not bound)

Api = Annotated[
    str | None, typer.Option("--api", envvar="TOCSIN_API", help="Address of the API, http://127.0.0.1:8080.")
]
Token = Annotated[str | None, typer.Option("--token", envvar="TOCSIN_TOKEN", help="Your token.", show_envvar=True)]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]

errors = Console(stderr=True, soft_wrap=True, highlight=False)


def default_api() -> str:
    """Raises SettingError."""
    settings = load()
    if settings.api_port == 0:
        raise SettingError(f"{PREFIX}API_PORT: 0 is any port; say --api")
    host = EVERYWHERE.get(settings.api_host, settings.api_host)
    return f"http://{host}:{settings.api_port}"


class Asking:
    """The API, as one command asks it."""

    def __init__(self, api: str | None, token: str | None) -> None:
        self._url = (api or default_api()).rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(
        self, method: str, path: str, body: dict[str, Any] | None = None, **headers: str
    ) -> dict[str, Any]:
        """The answer's JSON; ends the command with status 1 when there is none or it is a problem."""
        url = f"{self._url}/api/v1{path}"
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with httpx2.Client(timeout=TIMEOUT_S, trust_env=False) as client:
                answer = client.request(method, url, json=body, headers={**self._headers, **names})
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise failed(
                f"no answer from {self._url}: {error}. Is Tocsin up, and is this its address (--api)?"
            ) from None
        if answer.is_success:
            found: dict[str, Any] = answer.json()
            return found
        raise failed(*said_no(answer))

    def make(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST, under a key of its own."""
        return self("POST", path, body, Idempotency_Key=secrets.token_hex(16))

    def all_of(self, path: str) -> list[dict[str, Any]]:
        """Every page of a list."""
        items: list[dict[str, Any]] = []
        cursor: str | None = ""
        mark = "&" if "?" in path else "?"
        while cursor is not None:
            more = f"&cursor={cursor}" if cursor else ""
            page = self("GET", f"{path}{mark}limit={PAGE}{more}")
            items += page["items"]
            cursor = page["next"]
        return items


def said_no(answer: httpx2.Response) -> list[str]:
    """A problem's title and every error that it names, one line each; its detail where it names none."""
    try:
        problem = answer.json()
        title, detail, named = problem["title"], problem["detail"], problem.get("errors") or ()
    except (ValueError, KeyError, TypeError):
        return [f"status {answer.status_code}, and not in our words: is this address a Tocsin?"]
    faults = [f"  {one.get('pointer') or one.get('parameter') or 'body'}: {one['detail']}" for one in named]
    return [title, *faults] if faults else [f"{title}: {detail}"]


def failed(*lines: str) -> typer.Exit:
    """Say why on standard error; the caller raises what comes back."""
    for line in lines:
        errors.print(line, style="red", markup=False)
    return typer.Exit(EXIT_FAILED)


def say(text: str) -> None:
    """The answer of a command goes to standard output as it is."""
    sys.stdout.write(text + "\n")
