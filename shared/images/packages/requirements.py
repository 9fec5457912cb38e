"""Requirements: what of a file is taken, which indexes are asked, and why what was asked for cannot be had together.

Source: pip's requirements format, PEP 508, and the prose in which uv's resolver explains itself.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from shared.domain.errors import BuildFailed, Detail, foreign

_MOST_LINES, _LONGEST_LINE = 2000, 2000
_COMMENT = re.compile(r"(?:^|\s)#")
_HASH = re.compile(r"\s--hash[= ]\S+")
_INDEX_OPTIONS = frozenset({"-i", "-f", "--index-url", "--extra-index-url", "--find-links"})
_PORTS = {"http": 80, "https": 443}
SETUPTOOLS = "setuptools<81"
"""Always there unless the file names setuptools: `azure-ml-api-sdk` needs its pkg_resources (client-facts.md, 26)."""

SPARK = "pyspark"


def joined(*files: Sequence[str]) -> tuple[str, ...]:
    """The requirements of several files, each once: where one names setuptools, that counts for all."""
    lines = dict.fromkeys(line for file in files for line in file)
    if any(_requirement_name(line) == "setuptools" for line in lines if line != SETUPTOOLS):
        lines.pop(SETUPTOOLS, None)
    return tuple(lines)


def _requirement_name(line: str) -> str:
    return canonicalize_name(Requirement(_HASH.sub("", line)).name)


def with_spark(lines: Sequence[str], conda: Sequence[str]) -> tuple[str, ...]:
    """Those requirements, and Spark's, unless they or the specs of conda's packages name it.

    `SparkPython` means that Spark is there: clients of the time send requirements without it. Its machine learning needs
    NumPy, which is an extra of it.
    """
    names = {_requirement_name(line) for line in lines}
    if SPARK in names or any(re.match(rf"(\S+::)?{SPARK}(?![\w-])", spec) for spec in conda):
        return tuple(lines)
    return (*lines, f"{SPARK}[ml]")


def parse_requirements(content: bytes, indexes: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The requirements in a file, in its order, hashes kept; raises BuildFailed naming the line that is refused.

    Options that name the operator's `indexes` are left out: all of those are used anyway.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BuildFailed("The requirements file is not UTF-8 text.", code="BadRequirements") from None
    taken, lines = {_place(index) for index in indexes}, _lines(text)
    if len(lines) > _MOST_LINES:
        raise BuildFailed(
            f"The requirements file has {len(lines)} requirements; accepted are {_MOST_LINES}.", code="BadRequirements"
        )
    kept = [_parsed(number, line) for number, line in lines if not _names_indexes(number, line, taken)]
    names = {_requirement_name(line) for line in kept}
    return tuple(kept if "setuptools" in names or not kept else [*kept, SETUPTOOLS])


def _lines(text: str) -> list[tuple[int, str]]:
    """Logical lines by the number of their first: continued ones joined, comments and empty ones left out."""
    lines, pending, began = [], "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        began = began if pending else number
        if raw.endswith("\\"):
            pending += raw[:-1] + " "
            continue
        line = _COMMENT.split(pending + raw, maxsplit=1)[0].strip()
        pending = ""
        if line:
            lines.append((began, line))
    if pending.strip():
        lines.append((began, pending.strip()))
    return lines


def _names_indexes(number: int, line: str, taken: set[tuple[object, ...]]) -> bool:
    """Whether the line holds options that name package indexes of the operator's; all other options are refused."""
    if not line.startswith("-"):
        return False
    for option, value in _options(line):
        if option not in _INDEX_OPTIONS:
            raise _refused(number, line, f"{foreign(option, 40)} is not taken; list packages only")
        if _place(value) not in taken:
            setting = "the operator's setting SLIPWAY_PACKAGE_INDEXES names the indexes that are taken"
            raise _refused(number, line, f"{option} names another package index; {setting}")
    return True


def _options(line: str) -> Iterator[tuple[str, str]]:
    """The options of a line with their values, as `--option value`, `--option=value` or `-ovalue`."""
    words = iter(line.split())
    for word in words:
        option, joined, value = (word[:2], word[2:], word[2:]) if re.match(r"-\w", word) else word.partition("=")
        yield option, (value if joined else next(words, "")).strip("'\"")


def _place(url: str) -> tuple[object, ...]:
    """What two spellings of an index's URL have in common; credentials are no part of it."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return (url,)
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/"), parts.query


def configuration(indexes: Sequence[str]) -> str:
    """What the installer alone is told, since it may hold credentials: package indexes and proxies. As uv.toml.

    Without indexes of Slipway's own settings, those of uv's environment variables are taken, or uv's own.
    """
    told = {name.lower(): value for name, value in os.environ.items()}
    default = told.get("uv_default_index") or told.get("uv_index_url") or ""
    more = f"{told.get('uv_index', '')} {told.get('uv_extra_index_url', '')}".split()
    first, *others = indexes or [re.sub(r"^[\w-]+=", "", index) for index in (default, *more)]
    proxies = {name: told.get(f"{name}_proxy") or told.get("all_proxy") for name in ("http", "https")}
    lines = ["concurrent-builds = 1", 'python-downloads = "never"']
    lines += [f"{name}-proxy = {json.dumps(proxy)}" for name, proxy in proxies.items() if proxy]
    lines += [f"no-proxy = {json.dumps([host.strip() for host in told.get('no_proxy', '').split(',') if host.strip()])}"]
    lines += [f"[[index]]\nurl = {json.dumps(index)}" for index in others]
    lines += [f"[[index]]\nurl = {json.dumps(first)}\ndefault = true"] if first else []
    return "\n".join([*lines, ""])


def _parsed(number: int, line: str) -> str:
    named = _HASH.sub("", f" {line}").strip()
    if len(named) > _LONGEST_LINE:
        raise _refused(number, line, f"it has {len(named)} characters; accepted are {_LONGEST_LINE}, hashes not counted")
    try:
        requirement = Requirement(named)
    except (InvalidRequirement, RecursionError):
        raise _refused(number, line, "it is no package name with versions (PEP 508); paths and URLs are not taken") from None
    if requirement.url is not None:
        raise _refused(number, requirement.name, "packages come from the index, not from a URL")
    return line


def _refused(number: int, line: str, reason: str) -> BuildFailed:
    shown = foreign(line, 120)
    return BuildFailed(f"Line {number} of the requirements file, '{shown}', is refused: {reason}.", code="BadRequirements")


_LONGEST_EXPLANATION = 16 * 1024
_MARKER = re.compile(r"\{[^{}]*\}")
_ASIDE = re.compile(r"\(reason: [^()]*\)|we know from \(\d+\)(?: and \(\d+\))* that|\(\d+\)")
_VERSIONS = r"(?:[<>]=?|[!~]=|={2,3})[^\s,=][^\s,]*"
_PACKAGE = re.compile(rf"[A-Za-z0-9][\w.-]*(?:\[[^\[\]]*\])?(?:{_VERSIONS}(?:,{_VERSIONS})*)?")
_DEPENDS = re.compile(r"(?:(?:all|any) of: |all versions of )?(?P<who>.{1,400}?) depends? on (?:one of: )?(?P<what>.+)")
_REQUIRES = re.compile(r"(?P<who>you) require (?P<what>.+)")
_ABSENT = re.compile(
    r"there (?:is|are) no versions? of (?P<none>\S+)|(?P<unknown>\S{1,200}) (?:was|were) not found in "
    r"|only (?:the following versions of )?(?P<some>[\w.-]{1,200}).{0,400} (?:is|are) available"
)
_WITHOUT_WHEEL = re.compile(r"(\S{1,200}) (?:has|have) no (?:\w+ )?wheels?\b")
_PYTHON = re.compile(r"the \w{1,40} Python version \(\D{0,40}([\d.]{1,40}).{0,200}\) does not satisfy")
_MOST_DETAILS = 20
_MOST_SHOWN = 4


@dataclass(frozen=True)
class Demand:
    """Some versions of a package, or the requirements file (`asker` is empty), ask for versions of another."""

    asker: str
    versions: str
    what: str

    def __str__(self) -> str:
        return f"{self.asker}{self.versions} depends on {self.what}" if self.asker else f"the file asks for {self.what}"


@dataclass(frozen=True)
class Unsatisfiable:
    """Why there is no set of packages that fits, read from the resolver's explanation.

    `absent` maps the names of what the index does not have to how that was said, `without_wheel` those that have no wheel to
    the versions meant. `python` is the image's, when it is too old or too new.
    """

    said: str
    demands: tuple[Demand, ...]
    absent: Mapping[str, str]
    without_wheel: Mapping[str, str]
    python: str

    @classmethod
    def read(cls, said: str) -> "Unsatisfiable":
        """What is known by its wording; sentences of another shape are passed over."""
        said = said[:_LONGEST_EXPLANATION]
        facts = list(_facts(said))
        absent = {_name(next(filter(None, found.groups()))): fact for fact in facts if (found := _ABSENT.search(fact))}
        wheels = {_name(found[1]): found[1] for fact in facts if (found := _WITHOUT_WHEEL.search(fact))}
        python = next((found[1] for fact in facts if (found := _PYTHON.search(fact))), "")
        return cls(said, tuple(_demands(facts)), absent, wheels, python)

    @property
    def contested(self) -> tuple[str, ...]:
        """The packages that are asked for in versions that do not go together; `python` may be one of them."""
        askers: dict[str, set[str]] = defaultdict(set)
        for demand in self.demands:
            askers[_name(demand.what)].add(demand.asker or str(demand))
        return tuple(name for name, them in askers.items() if len(them) > 1 or (name == "python" and self.python))

    def error(self) -> BuildFailed:
        """DependencyConflict naming the packages and who asks for what, or RequirementNotFound."""
        if self.contested:
            return self._failed("DependencyConflict", self._conflict())
        for name, how in self.absent.items():
            who = next((f"{demand}, which" for demand in self.demands if _name(demand.what) == name), f"For {name}:")
            return self._failed("RequirementNotFound", f"{who} the package index does not have: {how}.")
        explained = " ".join(self.said.split())
        return self._failed("DependencyConflict", f"the requirements do not go together: {explained}")

    def _conflict(self) -> str:
        asking = [demand for demand in self.demands if _name(demand.what) in self.contested]
        one_each = list({(demand.asker or str(demand)): str(demand) for demand in reversed(asking)}.values())[::-1]
        shown = "; ".join(one_each[:_MOST_SHOWN])
        if "python" in self.contested:
            return f"the image has Python {self.python}, and {shown}."
        ours = f" Slipway itself asks for {SETUPTOOLS} unless the file names setuptools." * ("setuptools" in self.contested)
        return f"no version of {', '.join(self.contested)} suits all who ask for it: {shown}.{ours}"

    def _failed(self, code: str, why: str) -> BuildFailed:
        details = [Detail(code, foreign(demand)) for demand in self.demands[:_MOST_DETAILS]]
        return BuildFailed(f"The requirements cannot be met: {foreign(why, 1000)}", code=code, details=details)


def _facts(said: str) -> Iterator[str]:
    """The premises of the explanation's sentences, one by one, without what is concluded from them."""
    text = " ".join(_ASIDE.sub(" ", _MARKER.sub("", said.partition("hint:")[0])).split())
    for sentence in re.split("[Bb]ecause ", text)[1:]:
        premises, concluded, _ = sentence.partition(" we can conclude that")
        if concluded:
            yield from premises.removesuffix(",").split(" and ")


def _demands(facts: Iterable[str]) -> Iterator[Demand]:
    """Who asks for what, each once: versions of one package that ask for the same are one asker."""
    asked: dict[tuple[str, str], set[str]] = defaultdict(set)
    who = ""
    for fact in facts:
        found = _DEPENDS.fullmatch(fact) or _REQUIRES.fullmatch(fact)
        if found is None and not _PACKAGE.fullmatch(fact):
            continue
        who = found["who"] if found else who
        for what in _PACKAGE.findall(found["what"] if found else fact):
            asked["" if who == "you" else _without_versions(who), what].add(who)
    for (asker, what), whos in asked.items():
        one = next(iter(whos)).removeprefix(asker) if asker else ""
        yield Demand(asker, " in several versions" if len(whos) > 1 or " " in one else one, what)


def _without_versions(package: str) -> str:
    return re.split(r"[\s=~!<>]", package, maxsplit=1)[0]


def _name(package: str) -> str:
    return canonicalize_name(_without_versions(package).partition("[")[0])
