"""The kinds of text that requests hold, each checked for what it claims to be.

Source: api.md; client-facts.md 3, 11, 17, 21, 34; RFC 6838 (media types); Kubernetes' quantity format.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from shared.domain.ids import canonical

_RESTRICTED_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_TCHARS = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_MEDIA_TYPE = rf'{_RESTRICTED_NAME}/{_RESTRICTED_NAME}([ \t]*;[ \t]*{_TCHARS}=({_TCHARS}|"[ !#-\[\]-~]*"))*'
_QUANTITY = re.compile(r"(?P<number>[0-9]+(\.[0-9]*)?|\.[0-9]+)(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONGEST_MEDIA_TYPE = 512
"""RFC 6838 lets type and subtype be of 127 characters each; the rest is for parameters."""
_LONGEST_QUANTITY = 64
_LONGEST_URL = 4096
_LONGEST_COMPUTE_ID = 1024
_FACTORS = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1), "k": Decimal(1000)}
_FACTORS |= {letter: Decimal(1000) ** power for power, letter in enumerate("MGTPE", 2)}
_FACTORS |= {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}


def whole(pattern: str) -> str:
    """The pattern of JSON Schema that a whole text must match. Its `$` is ECMA-262's: nothing comes behind it."""
    return f"^(?:{pattern})$"


def any_case(text: str) -> str:
    """A pattern of that text in capital or small ASCII letters: JSON Schema has no flag that says so."""
    return "".join(f"[{one.lower()}{one.upper()}]" if one.isalpha() else re.escape(one) for one in text)


SEGMENT = r"[^/?#\u0000-\u0020\u007f-\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]+"
"""A pattern of a part of a resource id: what no path and no eye takes for its end."""


@dataclass(frozen=True)
class Matching:
    """Accepts what a pattern matches whole; the API's description shows the same pattern."""

    pattern: str
    accepts: str
    longest: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        bound = {} if self.longest is None else {"maxLength": self.longest}
        return {**handler(schema), "pattern": whole(self.pattern), **bound}

    def _checked(self, text: str) -> str:
        if (self.longest is not None and len(text) > self.longest) or not re.fullmatch(self.pattern, text):
            raise ValueError(f"accepts {self.accepts}")
        return text


class Described:
    """What the API's description says of a text that is checked by code: the same, as far as JSON Schema can say it."""

    def __init__(self, **schema: Any) -> None:
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


def quantity(text: str) -> Decimal:
    """The number that a Kubernetes quantity stands for; raises ValueError when it is none, or not above zero."""
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST_QUANTITY else None
    if not match:
        raise ValueError("accepts a Kubernetes quantity such as 0.5, 250m or 512Mi")
    suffix = match["suffix"] or ""
    value = Decimal(match["number"]) * (_FACTORS[suffix] if suffix in _FACTORS else Decimal(f"1{suffix}"))
    if value <= 0:
        raise ValueError("accepts a Kubernetes quantity above zero")
    return value


def _quantity_text(text: str) -> str:
    quantity(text)
    return text


_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ABOVE_ZERO = r"(0*[1-9][0-9]*(\.[0-9]*)?|0*\.0*[1-9][0-9]*)"
_QUANTITY_DESCRIBED = rf"^{_ABOVE_ZERO}([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{{1,2}})?$"
"""Above zero, as the check has it."""
_COMPUTE_ID = (
    f"{any_case('/subscriptions/')}{SEGMENT}{any_case('/resourcegroups/')}{SEGMENT}"
    f"{any_case('/providers/microsoft.machinelearningcompute/operationalizationclusters/')}{SEGMENT}"
)
_GROUP = "[0-9A-Fa-f]{1,4}"
_SHORTENED = "|".join(f"({_GROUP}:){{1,{7 - right}}}(:{_GROUP}){{1,{right}}}" for right in range(1, 7))
_IPV6 = f"({_GROUP}:){{7}}{_GROUP}|({_GROUP}:){{1,7}}:|{_SHORTENED}|:(:{_GROUP}){{1,7}}|::"
_PORT = "[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_ORIGIN = rf"[hH][tT][tT][pP][sS]?://([A-Za-z0-9._~-]+|\[({_IPV6})\])(:({_PORT}))?"
_OF_PATHS = "([A-Za-z0-9._~:/@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"
_OF_QUERIES = "([A-Za-z0-9._~:/?@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"
URL_DESCRIBED = rf"^{_ORIGIN}(/{_OF_PATHS})?(\?{_OF_QUERIES})?(#{_OF_QUERIES})?$"
"""An http or https URL as RFC 3986 has it."""
PREFIX_DESCRIBED = rf"^{_ORIGIN}(/{_OF_PATHS})?$"
"""One to whose end a path may be put."""
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
Url = Annotated[str, AfterValidator(_url), Described(format="uri", pattern=URL_DESCRIBED, maxLength=_LONGEST_URL)]
MediaType = Annotated[
    str,
    Matching(
        _MEDIA_TYPE,
        f"a media type such as application/json, of at most {_LONGEST_MEDIA_TYPE} characters",
        _LONGEST_MEDIA_TYPE,
    ),
]
Quantity = Annotated[
    str, AfterValidator(_quantity_text), Described(pattern=_QUANTITY_DESCRIBED, maxLength=_LONGEST_QUANTITY)
]
ComputeResourceId = Annotated[
    str,
    Matching(
        _COMPUTE_ID,
        "/subscriptions/{s}/resourcegroups/{rg}/providers/Microsoft.MachineLearningCompute/operationalizationClusters/{name}",
        _LONGEST_COMPUTE_ID,
    ),
]
Tag = Annotated[str, AfterValidator(_plain_text), _PLAIN]
AssetId = Annotated[str, AfterValidator(_plain_text), _PLAIN]
Description = Annotated[str, Field(max_length=4096)]
FilterText = Annotated[str, Field(max_length=256)]
"""What a list may be narrowed by: any text as long as the longest name or tag."""


def _whole_number(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


INTEGER = BeforeValidator(_whole_number)
"""Makes an int one as JSON Schema has it: 1.0 is one."""
