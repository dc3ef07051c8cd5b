"""How is this deployment set up? One class, read from the environment, refused at the start if wrong.

Every variable begins with ``TOCSIN_``. ``load`` turns what pydantic finds into one ``SettingError`` that names
each wrong setting.
"""

from __future__ import annotations

import base64
import os
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from tocsin.clock import AffineClock
from tocsin.errors import SettingError
from tocsin.limits import (
    BATCH_LINGER_MS,
    BORDER_MARGIN_M,
    BORDER_MARGIN_MAX_M,
    COMPACT_AFTER_DAYS,
    FIXES_KEPT_DAYS,
    FIXES_KEPT_MIN_DAYS,
    LATE_AFTER_S,
)
from tocsin.model.episode import Realm
from tocsin.model.protocol import PoliceMode, Protocol
from tocsin.model.room import ROOM_NAME
from tocsin.retention import ACCESS_MONTHS, TGD_FILE_MONTHS, Terms
from tocsin.tls import TlsFiles

PREFIX = "TOCSIN_"
LOOPBACK = IPv4Address("127.0.0.1")
COMMAND_VARIABLES = frozenset({"TOCSIN_API", "TOCSIN_TOKEN"})
"""Where the API is and who asks, for the commands that ask it: no settings of a deployment, none misspelt."""
CALL_SECRET_MIN_CHARS = 32
CALLBACK_SECRET_MIN_CHARS = 32
SIGNING_KEY_FORM = "a Standard Webhooks secret is whsec_ and 24 to 64 bytes in base64"
MQTT_URL_FORM = "an address is mqtt://user:password@host:1883 or mqtts://host:8883"
WEBHOOKS = ("teleassistance", "teleassistance_second", "police", "operations", "heads")
"""The recipients that have a URL and a secret in settings of their own; rooms of the police come beside them."""
OTHER_SECRETS = ("call_secret", "callback_secret", "canary_secret", "canary_api_token")
HEADS_FILE = "heads.jsonl"
NOBODY_KNOWS_US = "without either anybody can say to be ingest"

FromHere = Annotated[Path, AfterValidator(Path.absolute)]
"""A path as its user means it: the parts run in another folder."""


class ApiUser(BaseModel):
    """Who speaks with a token: one named human or one machine. ``platform``: the téléassistance's own software,
    which acts for humans whom it names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=80)]
    role: Literal["monitor", "teleassistant", "supervisor", "court", "technical", "auditor", "platform"]


class RoomEndpoint(BaseModel):
    """A room of the police that has an address of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: HttpUrl
    secret: SecretStr


class WebhookTls(BaseModel):
    """Whom one recipient's line trusts (none: whom this machine trusts; else this authority alone), and the
    certificate that we show there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca_file: FromHere | None = None
    cert_file: FromHere | None = None
    key_file: FromHere | None = None

    @property
    def files(self) -> TlsFiles:
        return TlsFiles(ca=self.ca_file, cert=self.cert_file, key=self.key_file)


class Settings(BaseSettings):
    """All settings. Addresses left empty mean: the embedded server, on ``mqtt_port`` and ``nats_port`` (0: a free
    one, remembered in ``data_dir``); ``mqtt_host`` is where it listens for devices (0.0.0.0: everywhere)."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    realm: Realm = Realm.LAB
    site: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")] = "local"
    data_dir: Path = Path(".tocsin")
    pg_bindir: Path | None = None

    mqtt_url: str | None = None
    mqtt_ca_file: FromHere | None = None
    mqtt_cert_file: FromHere | None = None
    mqtt_key_file: FromHere | None = None
    nats_url: str | None = None
    database_url: str | None = None
    mqtt_host: IPv4Address = LOOPBACK
    mqtt_port: Annotated[int, Field(ge=0, le=65535)] = 0
    nats_port: Annotated[int, Field(ge=0, le=65535)] = 0
    partitions: Annotated[int, Field(ge=1, le=64)] = 2

    clock_epoch_ms: int = 0
    clock_anchor_ms: int = 0
    clock_rate: Annotated[float, Field(gt=0, le=1000)] = 1.0

    batch_linger_ms: Annotated[int, Field(ge=0, le=1000)] = BATCH_LINGER_MS
    late_after_s: Annotated[int, Field(ge=1)] = LATE_AFTER_S

    fixes_kept_days: Annotated[int, Field(ge=FIXES_KEPT_MIN_DAYS, le=36_525)] = FIXES_KEPT_DAYS
    fixes_compact_after_days: Annotated[int, Field(ge=1)] = COMPACT_AFTER_DAYS
    tgd_file_kept_months: Annotated[int, Field(ge=1, le=1200)] = TGD_FILE_MONTHS
    access_kept_months: Annotated[int, Field(ge=1, le=1200)] = ACCESS_MONTHS

    teleassistance_url: HttpUrl | None = None
    teleassistance_secret: SecretStr | None = None
    teleassistance_second_url: HttpUrl | None = None
    teleassistance_second_secret: SecretStr | None = None
    operations_url: HttpUrl | None = None
    operations_secret: SecretStr | None = None
    police_url: HttpUrl | None = None
    police_secret: SecretStr | None = None
    police_rooms: dict[str, RoomEndpoint] = {}
    operators: Annotated[int, Field(ge=1, le=1000)] = 1
    callback_number: Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")] | None = None
    call_secret: Annotated[SecretStr, Field(min_length=CALL_SECRET_MIN_CHARS)] | None = None
    territory: FromHere | None = None
    border_margin_m: Annotated[int, Field(ge=0, le=BORDER_MARGIN_MAX_M)] = BORDER_MARGIN_M
    police_mode: PoliceMode = PoliceMode.AUTO_ON_TIMEOUT

    webhook_hosts: tuple[str, ...] = ()
    webhook_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    webhook_tls: dict[str, WebhookTls] = {}

    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    api_auth: Literal["token", "off"] = "token"
    api_tokens: dict[str, ApiUser] = {}
    api_public_url: HttpUrl | None = None
    callback_secret: Annotated[SecretStr, Field(min_length=CALLBACK_SECRET_MIN_CHARS)] | None = None

    canary: bool | None = None
    canary_url: HttpUrl | None = None
    canary_secret: SecretStr | None = None
    canary_api_url: HttpUrl | None = None
    canary_api_token: SecretStr | None = None
    canary_cert_dir: FromHere | None = None
    heads_file: FromHere | None = None
    heads_url: HttpUrl | None = None
    heads_secret: SecretStr | None = None
    ear_mqtt_url: str | None = None
    ear_mqtt_cert_file: FromHere | None = None
    ear_mqtt_key_file: FromHere | None = None
    audit_share: Annotated[float, Field(ge=0, le=1)] = 1.0

    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        problems = [
            *self._lab_only_problems(),
            *self._mqtt_problems(),
            *self._webhook_problems(),
            *self._police_problems(),
            *self._host_problems(),
            *self._webhook_tls_problems(),
            *self._nobody_told_problems(),
            *self._token_problems(),
            *self._callback_problems(),
            *self._history_problems(),
            *self._canary_problems(),
            *self._ear_problems(),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _lab_only_problems(self) -> list[str]:
        problems = []
        if self.clock_moved and self.realm is Realm.PRODUCTION:
            problems.append("TOCSIN_CLOCK_EPOCH_MS, TOCSIN_CLOCK_RATE: the clock is real time in production")
        if not self.mqtt_host.is_loopback and self.realm is Realm.PRODUCTION:
            problems.append("TOCSIN_MQTT_HOST: loopback in production; the embedded listener has no TLS")
        if self.api_auth == "off" and self.realm is not Realm.LAB:
            problems.append("TOCSIN_API_AUTH: 'off' is for realm lab only")
        return problems

    def _mqtt_problems(self) -> list[str]:
        files = {name: getattr(self, name) for name in ("mqtt_ca_file", "mqtt_cert_file", "mqtt_key_file")}
        given = [f"{PREFIX}{name.upper()}" for name, file in files.items() if file is not None]
        problems = []
        if given and not (self.mqtt_url or "").lower().startswith("mqtts://"):
            problems.append(f"{', '.join(given)}: only with a TOCSIN_MQTT_URL of mqtts://")
        if (self.mqtt_cert_file is None) != (self.mqtt_key_file is None):
            problems.append("TOCSIN_MQTT_CERT_FILE, TOCSIN_MQTT_KEY_FILE: set both or neither")
        elif wrong := self.mqtt_tls.problem():
            problems.append(f"{PREFIX}MQTT_{wrong[0].upper()}_FILE: {wrong[1]}")
        return problems + self._mqtt_url_problems()

    def _mqtt_url_problems(self) -> list[str]:
        if self.mqtt_url is None:
            return []
        if not _is_mqtt_url(self.mqtt_url):
            return [f"{PREFIX}MQTT_URL: {MQTT_URL_FORM}"]
        if self.realm is Realm.PRODUCTION and _is_clear_text_abroad(self.mqtt_url):
            return [f"{PREFIX}MQTT_URL: mqtts in production; mqtt is clear text, and for loopback only"]
        if not urlsplit(self.mqtt_url).password and self.mqtt_key_file is None:
            return [f"{PREFIX}MQTT_URL: give a password, or {PREFIX}MQTT_KEY_FILE; {NOBODY_KNOWS_US}"]
        return []

    def _webhook_problems(self) -> list[str]:
        problems = []
        for name in WEBHOOKS:
            url, secret = getattr(self, f"{name}_url"), getattr(self, f"{name}_secret")
            if secret is not None and url is None:
                problems.append(f"{PREFIX}{name.upper()}_URL: missing, {PREFIX}{name.upper()}_SECRET is set")
            if url is not None and secret is None:
                problems.append(f"{PREFIX}{name.upper()}_SECRET: missing, {PREFIX}{name.upper()}_URL is set")
            if url is not None and url.scheme != "https" and self.realm is Realm.PRODUCTION:
                problems.append(f"{PREFIX}{name.upper()}_URL: https in production")
            if secret is not None and not _is_webhook_secret(secret.get_secret_value()):
                problems.append(f"{PREFIX}{name.upper()}_SECRET: {SIGNING_KEY_FORM}")
        if self.teleassistance_second_url is not None and self.teleassistance_url is None:
            problems.append(f"{PREFIX}TELEASSISTANCE_URL: missing; there is no second endpoint without a first")
        return problems

    def _host_problems(self) -> list[str]:
        """Nothing leaves for a host that nobody has allowed; without a list those of the URLs are the list."""
        allowed = {host.lower() for host in self.webhook_hosts}
        problems = [
            f"{PREFIX}WEBHOOK_HOSTS: a host is like hook.example or 192.0.2.7: no scheme, no port, no star"
            for host in self.webhook_hosts
            if not _is_host(host)
        ]
        if not allowed:
            return problems
        return problems + [
            f"{setting}: its host is not in {PREFIX}WEBHOOK_HOSTS"
            for setting, url in self._webhook_urls()
            if (url.host or "").strip("[]").lower() not in allowed
        ]

    def _webhook_urls(self) -> list[tuple[str, HttpUrl]]:
        """Each with the words that a refusal names it by."""
        named = [(f"{PREFIX}{name.upper()}_URL", getattr(self, f"{name}_url")) for name in WEBHOOKS]
        rooms = [(f"{PREFIX}POLICE_ROOMS: {room[:16]}", one.url) for room, one in self.police_rooms.items()]
        return [(setting, url) for setting, url in (*named, *rooms) if url is not None]

    def _webhook_tls_problems(self) -> list[str]:
        """What is wrong with the setting. Files are not looked at here (``unusable_certificates``): a part that
        starts again at night is not kept from hearing a key by the certificate of somebody's pager."""
        problems, setting = [], f"{PREFIX}WEBHOOK_TLS"
        known = {**{name: getattr(self, f"{name}_url") for name in WEBHOOKS}, **self._room_urls}
        for name, tls in self.webhook_tls.items():
            url = known.get(name)
            if url is None:
                problems.append(f"{setting}: {name[:32]}: no such recipient, or it has no URL")
            elif url.scheme != "https":
                problems.append(f"{setting}: {name[:32]}: only with a URL of https")
            if (tls.cert_file is None) != (tls.key_file is None):
                problems.append(f"{setting}: {name[:32]}: cert_file and key_file, both or neither")
        return problems

    def unusable_certificates(self) -> list[str]:
        """For whoever starts Tocsin and looks; the courier says the same, and SYS_NOTIFY_FAIL. Reads the files."""
        found = ((name, tls.files.problem()) for name, tls in self.webhook_tls.items())
        return [f"{name[:32]}: {wrong[0]}_file: {wrong[1]}" for name, wrong in found if wrong is not None]

    @property
    def _room_urls(self) -> dict[str, HttpUrl]:
        return {room: one.url for room, one in self.police_rooms.items()}

    def _police_problems(self) -> list[str]:
        """A room's own address is no use without the default one behind it, nor without a map that leads to it."""
        problems = []
        rooms = f"{PREFIX}POLICE_ROOMS"
        for room, endpoint in self.police_rooms.items():
            if not ROOM_NAME.fullmatch(room):
                problems.append(f"{rooms}: a room is like CIC-13 or CORG-2A")
            if endpoint.url.scheme != "https" and self.realm is Realm.PRODUCTION:
                problems.append(f"{rooms}: {room[:16]}: https in production")
            if not _is_webhook_secret(endpoint.secret.get_secret_value()):
                problems.append(f"{rooms}: {room[:16]}: {SIGNING_KEY_FORM}")
        if self.police_rooms and self.police_url is None:
            problems.append(f"{PREFIX}POLICE_URL: missing, {rooms} is set; who hears of every other place?")
        if self.police_rooms and self.territory is None and self.realm is not Realm.LAB:
            problems.append(f"{PREFIX}TERRITORY: missing, {rooms} is set; which room answers for which place?")
        if self.police_url is not None and self.callback_number is None and self.realm is Realm.PRODUCTION:
            problems.append(f"{PREFIX}CALLBACK_NUMBER: missing; in production a room must be able to ring back")
        return problems

    def _nobody_told_problems(self) -> list[str]:
        """A mode that tells the rooms by itself, and no room: every screen would say that they were told."""
        if self.realm is not Realm.PRODUCTION:
            return []
        problems = []
        if self.teleassistance_url is None:
            problems.append(f"{PREFIX}TELEASSISTANCE_URL: missing; in production somebody must be told")
        if self.police_url is None and self.police_mode is not PoliceMode.OPERATOR_CONFIRMED:
            problems.append(
                f"{PREFIX}POLICE_URL: missing, and {PREFIX}POLICE_MODE is {self.police_mode.value}: who would be"
                f" told? Where humans ring the police up, set {PREFIX}POLICE_MODE=operator_confirmed"
            )
        return problems

    def _token_problems(self) -> list[str]:
        if any(len(token) < 20 for token in self.api_tokens):
            return ["TOCSIN_API_TOKENS: a token has at least 20 characters"]
        return []

    def _callback_problems(self) -> list[str]:
        """The link of a notification is an address and a signature: neither is any use alone."""
        url, secret = f"{PREFIX}API_PUBLIC_URL", f"{PREFIX}CALLBACK_SECRET"
        problems = []
        if self.callback_secret is not None and self.api_public_url is None:
            problems.append(f"{url}: missing, {secret} is set; where do the links of notifications lead?")
        if self.api_public_url is not None and self.callback_secret is None:
            problems.append(f"{secret}: missing, {url} is set; who signs the links of notifications?")
        if self.api_public_url is not None and (self.api_public_url.query or self.api_public_url.fragment):
            problems.append(f"{url}: without query and fragment; the path of a link is put behind it")
        if (
            self.api_public_url is not None
            and self.api_public_url.scheme != "https"
            and self.realm is Realm.PRODUCTION
        ):
            problems.append(f"{url}: https in production; a link is a credential")
        return problems

    def _history_problems(self) -> list[str]:
        if self.fixes_compact_after_days >= self.fixes_kept_days:
            return [f"{PREFIX}FIXES_COMPACT_AFTER_DAYS: less than {PREFIX}FIXES_KEPT_DAYS"]
        return []

    def _canary_problems(self) -> list[str]:
        """``tocsin up`` sets what is missing; whoever runs the part alone sets address and secret together."""
        url, secret = f"{PREFIX}CANARY_URL", f"{PREFIX}CANARY_SECRET"
        problems = []
        if (self.canary_url is None) != (self.canary_secret is None):
            problems.append(f"{url}, {secret}: set both or neither")
        if self.canary_url is not None and not _is_loopback(self.canary_url.host or ""):
            problems.append(
                f"{url}: an address of this machine (127.0.0.1 or ::1); nobody else is told of a canary"
            )
        if self.canary_url is not None and self.canary_url.scheme != "http":
            problems.append(f"{url}: http; the receiver has no certificate, and no wire to be heard on")
        if self.canary_secret is not None and not _is_webhook_secret(self.canary_secret.get_secret_value()):
            problems.append(f"{secret}: {SIGNING_KEY_FORM}")
        return problems

    @property
    def canary_expected(self) -> bool:
        """Whether invented pairs are to walk: in production, unless somebody has said otherwise."""
        return self.realm is Realm.PRODUCTION if self.canary is None else self.canary

    def _ear_problems(self) -> list[str]:
        """The ear's own session and login: as ingest's, and never ingest's."""
        url, files = self.ear_mqtt_url, (self.ear_mqtt_cert_file, self.ear_mqtt_key_file)
        name = f"{PREFIX}EAR_MQTT_URL"
        problems = []
        if any(files) and not (url or "").lower().startswith("mqtts://"):
            problems.append(
                f"{PREFIX}EAR_MQTT_CERT_FILE, {PREFIX}EAR_MQTT_KEY_FILE: only with a {name} of mqtts://"
            )
        if (files[0] is None) != (files[1] is None):
            problems.append(f"{PREFIX}EAR_MQTT_CERT_FILE, {PREFIX}EAR_MQTT_KEY_FILE: set both or neither")
        elif wrong := TlsFiles(cert=files[0], key=files[1]).problem():
            problems.append(f"{PREFIX}EAR_MQTT_{wrong[0].upper()}_FILE: {wrong[1]}")
        if url is None:
            return problems
        if not _is_mqtt_url(url):
            return [*problems, f"{name}: {MQTT_URL_FORM}"]
        if self.realm is Realm.PRODUCTION and _is_clear_text_abroad(url):
            problems.append(f"{name}: mqtts in production; mqtt is clear text, and for loopback only")
        return problems

    @property
    def ear_mqtt_tls(self) -> TlsFiles:
        """Whom it trusts is whom ingest trusts: it is the same broker."""
        return TlsFiles(ca=self.mqtt_ca_file, cert=self.ear_mqtt_cert_file, key=self.ear_mqtt_key_file)

    def required(self, name: Literal["mqtt_url", "nats_url", "database_url"]) -> str:
        """An address that this part cannot do without; raises SettingError when it is not set."""
        value: str | None = getattr(self, name)
        if value is None:
            raise SettingError(
                f"{PREFIX}{name.upper()}: missing; `tocsin up` starts the embedded servers and sets it"
            )
        return value

    @property
    def published_heads(self) -> Path:
        """The file that heads of the record are published to."""
        return self.heads_file or self.data_dir.resolve() / HEADS_FILE

    @property
    def mqtt_tls(self) -> TlsFiles:
        return TlsFiles(ca=self.mqtt_ca_file, cert=self.mqtt_cert_file, key=self.mqtt_key_file)

    @property
    def protocol(self) -> Protocol:
        return Protocol(police_mode=self.police_mode)

    @property
    def terms(self) -> Terms:
        """How long the record is kept where no law says it."""
        return Terms(tgd_file_months=self.tgd_file_kept_months, access_months=self.access_kept_months)

    @property
    def clock_moved(self) -> bool:
        """The clock is a replay's, not real time."""
        return self.clock_rate != 1.0 or self.clock_epoch_ms != self.clock_anchor_ms

    @property
    def clock(self) -> AffineClock:
        return AffineClock(epoch_ms=self.clock_epoch_ms, anchor_ms=self.clock_anchor_ms, rate=self.clock_rate)


def _is_mqtt_url(url: str) -> bool:
    try:
        address = urlsplit(url)
        return address.scheme in {"mqtt", "mqtts"} and bool(address.hostname) and address.port != 0
    except ValueError:  # a port that is no port
        return False


def _is_clear_text_abroad(url: str) -> bool:
    """A name may lead anywhere tomorrow: of names only localhost is here."""
    address = urlsplit(url)
    host = address.hostname or ""
    try:
        here = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        here = False
    return address.scheme == "mqtt" and not here


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_host(text: str) -> bool:
    """Host alone, as it stands in a URL."""
    try:
        return urlsplit(f"//{f'[{text}]' if ':' in text else text}").hostname == text.lower() and "*" not in text
    except ValueError:
        return False


def _is_webhook_secret(text: str) -> bool:
    """A secret that cannot sign would be found out at the first alarm, and only then."""
    try:
        body = text.removeprefix("whsec_")
        key = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except ValueError:
        return False
    return text.startswith("whsec_") and 24 <= len(key) <= 64


def load(**overrides: object) -> Settings:
    """Settings from the environment and ``overrides``; raises SettingError naming every wrong one."""
    if unknown := _unknown_variables():
        raise SettingError("; ".join(f"{name}: no such setting" for name in unknown))
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        raise SettingError("; ".join(_sentence(dict(one)) for one in error.errors())) from None
    except SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        name = PREFIX + field[1].upper() if field else "a setting"
        raise SettingError(f"{name}: not JSON") from None  # its cause would quote the tokens


def _unknown_variables() -> list[str]:
    """A misspelt setting must not be a setting silently left at its default."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | COMMAND_VARIABLES
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name.upper() not in known)


def _sentence(problem: dict[str, object]) -> str:
    place = problem["loc"]
    assert isinstance(place, tuple)
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not place:
        return message
    return f"{PREFIX}{str(place[0]).upper()}: {message}"
