"""Groups of packages: those that share a layer, since an image can hold only so many."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from shared.images.packages.distributions import LockedPackage


@dataclass(frozen=True)
class Group:
    """Packages that share a layer."""

    packages: tuple[LockedPackage, ...]

    @property
    def title(self) -> str:
        """What is in it, for people."""
        return ", ".join(map(str, self.packages))


def grouped(packages: Sequence[LockedPackage], most: int) -> list[Group]:
    """One package each, as long as there are few enough; else those together whose names say so, whatever else there is."""
    if len(packages) <= most:
        return [Group((package,)) for package in packages]
    groups: defaultdict[int, list[LockedPackage]] = defaultdict(list)
    for package in packages:
        groups[int(hashlib.sha256(package.name.encode()).hexdigest(), 16) % most].append(package)
    return [Group(tuple(group)) for _, group in sorted(groups.items())]
