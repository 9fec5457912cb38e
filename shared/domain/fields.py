"""The kinds of text that requests hold, each checked for what it claims to be.

Source: api.md; client-facts.md 3, 11, 17, 21, 34; RFC 6838 (media types); Kubernetes' quantity format.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from shared.domain.ids import canonical

_RESTRICTED_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = re.compile(rf'{_RESTRICTED_NAME}/{_RESTRICTED_NAME}(\s*;\s*[^\s=;]+=("[^"]*"|[^\s;"]+))*')
_QUANTITY = re.compile(
    r"(?P<number>\d+(\.\d*)?|\.\d+)((?P<suffix>[KMGTPE]i|[numkMGTPE])|(?P<exponent>[eE][+-]?\d{1,2}))?", re.ASCII
)
_COMPUTE_ID = re.compile(
    r"/subscriptions/[^/?#\s]+/resourcegroups/[^/?#\s]+/providers/microsoft\.machinelearningcompute"
    r"/operationalizationclusters/[^/?#\s]+",
    re.IGNORECASE,
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST_MEDIA_TYPE = 512
"""RFC 6838 lets type and subtype be of 127 characters each; the rest is for parameters."""
_LONGEST_QUANTITY = 64
_LONGEST_URL = 4096
_LONGEST_COMPUTE_ID = 1024
_FACTORS = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(1000)}
_FACTORS |= {letter: Decimal(1000) ** power for power, letter in enumerate("MGTPE", 2)}
_FACTORS |= {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}


@dataclass(frozen=True)
class Matching:
    """Accepts what a pattern matches whole; the API's description shows the same pattern."""

    pattern: str
    accepts: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$"}

    def _checked(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"accepts {self.accepts}")
        return text


class Described:
    """What the API's description says of a text that is checked by code: the same, as far as JSON Schema can say it."""

    def __init__(self, **schema: str | int) -> None:
        self._schema = schema

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), **self._schema}


def _uuid(text: str) -> str:
    identifier = canonical(text)
    if identifier is None:
        raise ValueError("accepts a UUID, as 8-4-4-4-12 hexadecimal digits")
    return identifier


def _url(text: str) -> str:
    expected = "accepts an absolute http or https URL of at most 4096 ASCII characters"
    if len(text) > _LONGEST_URL or _CONTROL.search(text) or " " in text or not text.isascii():
        raise ValueError(expected)
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ValueError(expected)
    if "@" in parts.netloc:
        raise ValueError("accepts a URL without a user or password in it")
    return text


def _media_type(text: str) -> str:
    if len(text) > _LONGEST_MEDIA_TYPE or not _MEDIA_TYPE.fullmatch(text):
        raise ValueError(f"accepts a media type such as application/json, of at most {_LONGEST_MEDIA_TYPE} characters")
    return text


def quantity(text: str) -> Decimal:
    """The number that a Kubernetes quantity stands for; raises ValueError when it is none, or not above zero."""
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST_QUANTITY else None
    if not match:
        raise ValueError("accepts a Kubernetes quantity such as 0.5, 250m or 512Mi")
    exponent = match["exponent"]
    value = Decimal(match["number"]) * (Decimal(f"1{exponent}") if exponent else _FACTORS[match["suffix"] or ""])
    if value <= 0:
        raise ValueError("accepts a Kubernetes quantity above zero")
    return value


def _quantity_text(text: str) -> str:
    quantity(text)
    return text


def _compute_resource_id(text: str) -> str:
    if len(text) > _LONGEST_COMPUTE_ID or not _COMPUTE_ID.fullmatch(text):
        raise ValueError(
            "accepts /subscriptions/{s}/resourcegroups/{rg}/providers/Microsoft.MachineLearningCompute"
            "/operationalizationClusters/{name}"
        )
    return text


_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ABOVE_ZERO = r"([0-9]*[1-9][0-9]*(\.[0-9]*)?|[0-9]*\.[0-9]*[1-9][0-9]*)"
_QUANTITY_DESCRIBED = rf"^{_ABOVE_ZERO}([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{{1,2}})?$"
"""Above zero, as the check has it."""
_COMPUTE_ID_DESCRIBED = (
    r"^/[sS][uU][bB][sS][cC][rR][iI][pP][tT][iI][oO][nN][sS]/[^/?#\s]+/[rR][eE][sS][oO][uU][rR][cC][eE][gG][rR][oO][uU][pP][sS]"
    r"/[^/?#\s]+/[pP][rR][oO][vV][iI][dD][eE][rR][sS]/Microsoft\.MachineLearningCompute/operationalizationClusters/[^/?#\s]+$"
)
_PLAIN = Described(minLength=1, maxLength=256, pattern=r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$")


def _plain_text(text: str) -> str:
    if not 1 <= len(text) <= 256 or _CONTROL.search(text):
        raise ValueError("accepts 1 to 256 characters, none of them a control character")
    return text


Id = Annotated[str, AfterValidator(_uuid), Described(format="uuid", pattern=f"^{_UUID}$")]
RegisteredName = Annotated[
    str,
    Matching(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,254}", "1 to 255 letters, digits, '.', '_' and '-', the first a letter or digit"),
]
DnsName = Annotated[
    str,
    Matching(
        r"[a-z0-9][a-z0-9.-]{1,30}[a-z0-9]",
        "3 to 32 lower-case letters, digits, '-' and '.', first and last a letter or digit",
    ),
]
Url = Annotated[str, AfterValidator(_url), Described(format="uri", pattern=r"^https?://[A-Za-z0-9]", maxLength=_LONGEST_URL)]
MediaType = Annotated[
    str, AfterValidator(_media_type), Described(pattern=f"^(?:{_MEDIA_TYPE.pattern})$", maxLength=_LONGEST_MEDIA_TYPE)
]
Quantity = Annotated[
    str, AfterValidator(_quantity_text), Described(pattern=_QUANTITY_DESCRIBED, maxLength=_LONGEST_QUANTITY)
]
ComputeResourceId = Annotated[
    str, AfterValidator(_compute_resource_id), Described(pattern=_COMPUTE_ID_DESCRIBED, maxLength=_LONGEST_COMPUTE_ID)
]
Tag = Annotated[str, AfterValidator(_plain_text), _PLAIN]
AssetId = Annotated[str, AfterValidator(_plain_text), _PLAIN]
Description = Annotated[str, Field(max_length=4096)]
