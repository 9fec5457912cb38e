"""Platforms as OCI names them: `linux/amd64`, and with a variant `linux/arm64/v8`. Source: OCI image-index.md."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_NAME = re.compile(r"[a-z0-9_.-]{1,40}")
_PLAIN = {("amd64", "v1"), ("arm64", "v8")}
"""Variants that are meant where none is named."""
_LEVEL = re.compile(r"v([0-9]{1,3})")


@dataclass(frozen=True)
class Platform:
    """An operating system on an architecture; `variant` is empty for the usual one."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """What the text names; raises ValueError."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(map(_NAME.fullmatch, parts)):
            raise ValueError(f"got '{text[:100]}'; accepts os/architecture or os/architecture/variant, such as linux/amd64")
        return cls.named(*parts)

    @classmethod
    def named(cls, os: str, architecture: str, variant: str = "") -> "Platform":
        """That platform, by one name alone."""
        return cls(os, architecture, "" if (architecture, variant) in _PLAIN else variant)

    @classmethod
    def of(cls, said: object) -> "Platform | None":
        """What an entry of an index, or a config, says; None for what says none."""
        values = [said.get(key) or "" for key in ("os", "architecture", "variant")] if isinstance(said, Mapping) else []
        system, architecture, variant = [*map(str, values)] or [""] * 3
        return cls.named(system, architecture, variant) if system and architecture else None

    @property
    def plain(self) -> str:
        """It, whatever the variant: what packages are made for."""
        return f"{self.os}/{self.architecture}"

    def __str__(self) -> str:
        return f"{self.plain}/{self.variant}" if self.variant else self.plain

    def best[T](self, offered: Iterable[tuple["Platform", T]]) -> T | None:
        """What runs on it: the plain one, else the lowest variant. Where a variant is asked for: that, else the highest
        below."""
        alike = [(one, given) for one, given in offered if one.plain == self.plain]
        if self.variant:
            alike = [(one, given) for one, given in alike if one.variant in ("", self.variant) or one.level < self.level]
            return max(alike, key=lambda one: (one[0] == self, one[0].level), default=(None, None))[1]
        return min(alike, key=lambda one: one[0].level, default=(None, None))[1]

    @property
    def level(self) -> tuple[int, str]:
        """By which variants of one architecture are compared: plain ones first, those that have no number last."""
        found = _LEVEL.fullmatch(self.variant)
        return (int(found[1]), "") if found else (1000 if self.variant else 0, self.variant)


def as_mapping(platform: Platform) -> Mapping[str, Any]:
    """It as configs and indexes have it."""
    named = {"os": platform.os, "architecture": platform.architecture}
    return {**named, "variant": platform.variant} if platform.variant else named
