"""The settings of a node: one TOML file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ctdenoise.errors import InputError
from ctdenoise.io.transfer_syntax import TransferSyntax
from ctdenoise.models.zoo import DEFAULT_MODEL

#: A file with all settings, their defaults and what they mean.
EXAMPLE = Path(__file__).with_name("example.toml")
_ANY = "*"


def _ae_title(text: str) -> str:
    """Check an AE title (PS3.5 section 6.2: at most 16 characters, no backslash or control characters)."""
    title = text.strip(" ")
    if not title or len(title) > 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise ValueError("expected 1 to 16 printable ASCII characters without a backslash")
    return title


def _name(text: str) -> str:
    if not text or not all(character.isalnum() or character in "-_" for character in text):
        raise ValueError("expected letters, digits, - and _")
    return text


AeTitle = Annotated[str, AfterValidator(_ae_title)]
Name = Annotated[str, AfterValidator(_name)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NodeSection(_Section):
    """Who may send images, and how they are received."""

    ae_title: AeTitle = "CTDENOISE"
    address: str = Field(default="127.0.0.1", description="Of the network interface; 0.0.0.0 is all of them.")
    port: Port = Field(default=11112, description="0 takes a free one.")
    allowed_ae_titles: list[AeTitle] = Field(min_length=1, description='Who may call; ["*"] is everybody.')
    allowed_addresses: list[IPv4Network | IPv6Network] = Field(
        default=[IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")], min_length=1
    )
    most_associations: int = Field(default=25, ge=1, description="At the same time.")
    timeout_s: Seconds = Field(default=60, gt=0, description="A connection that is silent so long is closed.")
    quiet_s: Seconds = Field(default=60, description="A series is complete when nothing of it came for so long.")

    @property
    def any_ae_title(self) -> bool:
        """Whether every calling AE title is let in."""
        return _ANY in self.allowed_ae_titles

    def allows(self, address: str) -> bool:
        """Whether a machine may connect."""
        found = ip_address(address)
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self.allowed_addresses)


class SpoolSection(_Section):
    """Where series are kept until they are sent."""

    folder: Path
    least_free_gb: float = Field(default=5, ge=0, description="Below, images are refused and no series is begun.")
    keep_sent_hours: float = Field(default=24, ge=0)
    keep_failed_hours: float = Field(default=24 * 14, ge=0)


class TlsSection(_Section):
    """Certificates, PEM: the node shows its own and lets in only who shows one that the authorities signed."""

    certificate: Path
    key: Path
    authorities: Path


class HttpSection(_Section):
    """Where /healthz and /metrics are."""

    address: str = "127.0.0.1"
    port: Port = Field(default=8042, description="0 takes a free one.")


class WorkSection(_Section):
    """How models are computed."""

    device: str = "auto"
    engine: str = "auto"
    batch_size: int | None = Field(default=None, ge=1)


class Destination(_Section):
    """Where results are sent: an AE (`host`, `port`, `ae_title`), or a DICOMweb service (`url`)."""

    name: Name
    host: str | None = None
    port: Port | None = None
    ae_title: AeTitle | None = None
    tls: bool = False
    storage_commitment: bool = False
    url: str | None = Field(default=None, pattern=r"^https?://[^@\s]+$")
    token_variable: str | None = Field(default=None, description="Environment variable with a bearer token.")

    @model_validator(mode="after")
    def _one_kind(self) -> Destination:
        of_ae = {"host": self.host, "port": self.port, "ae_title": self.ae_title}
        if self.url is None:
            if missing := [name for name, value in of_ae.items() if value is None]:
                raise ValueError(f"expected url, or host, port and ae_title; found no {', '.join(missing)}")
            if self.token_variable:
                raise ValueError("token_variable: expected url with it, found none")
        elif given := [*(n for n, v in of_ae.items() if v is not None), *(["tls"] if self.tls else [])]:
            raise ValueError(f"expected url alone, found {', '.join(given)} with it")
        elif self.storage_commitment:
            raise ValueError("storage_commitment: expected an AE, found url")
        return self


class Rule(_Section):
    """Which series is denoised how: the first rule that matches counts. A condition that is absent always holds.

    Texts are patterns as of shells (``*``, ``?``, ``[...]``), upper and lower case alike; one of a list must match.
    """

    name: Name
    modality: list[str] = Field(default_factory=list)
    body_part: list[str] = Field(default_factory=list, description="Body Part Examined (0018,0015).")
    kernel: list[str] = Field(default_factory=list, description="Convolution Kernel (0018,1210).")
    description: list[str] = Field(default_factory=list, description="Series Description (0008,103E).")
    calling_ae_title: list[str] = Field(default_factory=list)
    thickness_mm: tuple[float, float] | None = Field(default=None, description="Least and most, both included.")
    skip: bool = Field(default=False, description="Leave the series alone.")
    model: str = DEFAULT_MODEL
    strength: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = "auto"
    full_field: bool = False
    transfer_syntax: TransferSyntax = TransferSyntax.EXPLICIT
    classic: bool = False
    drop_private: bool = False
    deidentify: bool = False
    shift_dates: bool = False
    destinations: list[str] | None = Field(default=None, description="Names; all destinations if not given.")

    @model_validator(mode="after")
    def _dates(self) -> Rule:
        if self.shift_dates and not self.deidentify:
            raise ValueError("shift_dates: expected deidentify with it, found none")
        return self


class RetrySection(_Section):
    """When a series that could not be sent is sent again: after longer and longer pauses, then it has failed."""

    first_s: Seconds = Field(default=30, gt=0)
    longest_s: Seconds = Field(default=3600, gt=0)
    attempts: int = Field(default=30, ge=1, description="About a day with these pauses.")


class Settings(_Section):
    """All settings of a node."""

    node: NodeSection
    spool: SpoolSection
    tls: TlsSection | None = None
    http: HttpSection = HttpSection()
    work: WorkSection = WorkSection()
    retry: RetrySection = RetrySection()
    destinations: list[Destination] = Field(min_length=1)
    rules: list[Rule] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> Settings:
        _unique("destinations", [d.name for d in self.destinations])
        _unique("rules", [rule.name for rule in self.rules])
        known = {d.name for d in self.destinations}
        for rule in self.rules:
            if unknown := sorted(set(rule.destinations or ()) - known):
                raise ValueError(f"rule {rule.name}: expected destinations among {sorted(known)}, found {unknown}")
        if self.tls is None and (names := [d.name for d in self.destinations if d.tls]):
            raise ValueError(f"expected [tls] for destinations {names}, found none")
        return self

    def destinations_of(self, rule: Rule) -> list[str]:
        """Return the names of the destinations of a rule."""
        return [d.name for d in self.destinations] if rule.destinations is None else list(rule.destinations)


def load_settings(path: Path) -> Settings:
    """Read the settings of a node.

    Raises
    ------
    InputError
        If the file cannot be read or a setting cannot be used; without values that may be secret.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path=path) from error
    except ValueError as error:
        raise InputError(f"expected TOML: {error}", path=path) from error
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(dict.fromkeys(_problem(details, values) for details in error.errors()))
        raise InputError(problems, path=path, hint="ctdenoise serve --example shows all settings") from error
    return settings


def check_environment(settings: Settings) -> None:
    """Check what settings refer to: models, certificates, environment variables.

    Raises
    ------
    InputError
        Naming the first thing that is absent.
    """
    from ctdenoise.models.zoo import describe

    node, http = settings.node, settings.http
    if node.port and (node.port, node.address) == (http.port, http.address):
        raise InputError(f"expected two ports, found {node.port} for [node] and [http]")
    spool = settings.spool.folder.absolute()
    there = next(folder for folder in (spool, *spool.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError("[spool] folder: expected a folder that can be written, found another", path=there)
    for rule in settings.rules:
        if not rule.skip:
            described = describe(rule.model)
            if described.hu_range is None:
                raise InputError(f"rule {rule.name}: expected a model for CT, found {rule.model}, for photographs")
    for destination in settings.destinations:
        if destination.token_variable and not os.environ.get(destination.token_variable):
            raise InputError(
                f"destination {destination.name}: expected a token in the environment variable "
                f"{destination.token_variable}, found none"
            )
    if settings.tls:
        from ctdenoise.service.certificates import client_context, server_context

        server_context(settings.tls)
        client_context(settings.tls)


def _unique(what: str, names: Sequence[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{what}: expected each name once, found {', '.join(twice)} twice")


def _problem(details: Any, values: dict[str, Any]) -> str:
    """Return what is wrong with a setting: where, by the names that the file has, and what was expected."""
    where: list[str] = []
    inside: Any = values
    for part in details["loc"]:
        if isinstance(inside, list) and isinstance(part, int):
            inside = inside[part] if part < len(inside) else None
            where.append(f"[{inside.get('name', part)}]" if isinstance(inside, dict) else f"[{part}]")
        elif isinstance(inside, dict):
            where.append(f".{part}" if where else str(part))
            inside = inside.get(part)
        else:  # one of pydantic's alternatives, as of a union
            break
    if details["type"] == "extra_forbidden":
        what = "expected a setting, found no such one"
    elif details["type"].startswith("ip_") or "Ip" in str(details["loc"]):
        what = "expected an IP address or network, as 10.0.0.0/8"
    else:
        what = str(details["msg"]).removeprefix("Value error, ")
    return f"{''.join(where)}: {what}" if where else what
