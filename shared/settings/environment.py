"""Reading settings from environment variables: each by its form, and what is wrong gathered, to be said at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_LONGEST = 128 * 1024
_UNRESOLVED = re.compile(r"@Microsoft\.(KeyVault|AppConfiguration)\s*\(", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"<[^<>]*>|\$\{[^{}]*\}|\{\{[^{}]*\}\}|…|\.\.\."
    r"|\byour[_-]?(?:account|app|client|domain|host|name|registry|storage|subscription|tenant|vault)",
    re.IGNORECASE,
)
_WHOLE_PLACEHOLDER = re.compile(
    rf"(?:{_PLACEHOLDER.pattern})|\{{[^{{}}]*\}}|\[[^\[\]]*\]|\$\([^()]*\)|\$[A-Z_]+|%[A-Z_]+%"
    r"|your[ _-][\w -]*|(?:change|replace)[ _-]?me|todo|tbd|xxx+",
    re.IGNORECASE,
)
"""What documents, templates and shells leave in the place of a value."""


class SettingError(Exception):
    """Settings are missing or malformed: each of `problems` names one, says what it accepts, and shows no secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        several = f"{len(self.problems)} settings are wrong:"
        super().__init__(self.problems[0] if len(self.problems) == 1 else "\n- ".join((several, *self.problems)))


@dataclass(frozen=True)
class Form[T]:
    """What a setting accepts, and how its text becomes a value: `parse` raises ValueError.

    Without `accepts`, the error's own words are shown.
    """

    accepts: str
    parse: Callable[[str], T]
    free: bool = False
    """Whether the text may hold what looks like a placeholder, unless it is nothing else: passwords do, and documents."""


class Environment:
    """Environment variables. What is wrong with one is kept for `check`, and its value is the default meanwhile."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self._problems: dict[str, str] = {}
        self.asked: set[str] = set()
        """The names that were read so far."""

    def text(self, name: str) -> str:
        """A variable as it is, without spaces around it; empty when it is not set."""
        self.asked.add(name)
        return self._variables.get(name, "").strip()

    def names(self, prefix: str) -> tuple[str, ...]:
        """The variables that begin so, and are set."""
        return tuple(name for name in self._variables if name.startswith(prefix) and self.text(name))

    def read[T](self, name: str, form: Form[T], default: T) -> T:
        """A setting that may be missing."""
        text = self.text(name)
        if not text:
            return default
        stand_in = _stand_in(text, free=form.free)
        if stand_in:
            self.refuse(name, stand_in)
            return default
        try:
            return form.parse(text)
        except ValueError as error:
            self.refuse(name, f" accepts {form.accepts}" if form.accepts else f": {error}")
            return default

    def required[T](self, name: str, form: Form[T], default: T, instead: str = "") -> T:
        """A setting that must be there, unless `instead` is; the default stands for it until `check` says that it is not."""
        if not self.text(name):
            other = f"; or set {instead}" if instead else ""
            self._problems.setdefault(name, f"The setting {name} is missing; it accepts {form.accepts}{other}.")
        return self.read(name, form, default)

    def refuse(self, name: str, what: str) -> None:
        """That setting is wrong, and `what` goes on behind its name; of several reasons the first is kept."""
        self._problems.setdefault(name, f"{name}{what.removesuffix('.')}.")

    def check(self) -> None:
        """Raises SettingError when anything was wrong."""
        if self._problems:
            raise SettingError(list(self._problems.values()))


def checked[T](variables: Mapping[str, str], read: Callable[[Environment], T]) -> T:
    """What is read from these variables; raises SettingError with all that is wrong."""
    environment = Environment(variables)
    value = read(environment)
    environment.check()
    return value


def _stand_in(text: str, *, free: bool) -> str:
    """What is wrong with a text that only stands for a value; empty when it does not."""
    if len(text) > _LONGEST:
        return f" is longer than {_LONGEST} characters"
    if unresolved := _UNRESOLVED.match(text):
        what = "Key Vault" if unresolved[1].lower() == "keyvault" else "App Configuration"
        return f" holds a reference to {what} that was not resolved; it must be there, and the app's identity may read it"
    if _WHOLE_PLACEHOLDER.fullmatch(text) or (not free and _PLACEHOLDER.search(text)):
        return " holds a placeholder; put the value in its place"
    return ""
