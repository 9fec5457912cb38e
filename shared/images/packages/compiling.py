"""Sources are built without a compiler. One that needs it fails within seconds, and in words that are known again here.

That it needs one is seen in two ways: its build asks for a package that is there to compile, which is refused before
anything is built; or it starts a compiler, and finds one that only fails.
"""

import re
from collections.abc import Mapping
from pathlib import Path

_FOR_COMPILING = (
    "cffi", "cmake", "cython", "hatch-cython", "maturin", "meson", "meson-python", "nanobind", "ninja", "py-build-cmake",
    "pybind11", "scikit-build", "scikit-build-core", "setuptools-golang", "setuptools-rust", "sip", "swig", "torch",
    "ziglang",
)  # fmt: skip
"""Packages that builds ask for when they compile: backends, and what generates code or headers for them."""
_COMPILERS = (
    "cc", "gcc", "clang", "c++", "g++", "clang++", "cpp", "c89", "c99", "ld", "gfortran", "f77", "f90", "f95", "nvcc", "icc",
    "icx", "cmake", "ninja", "meson", "cargo", "rustc", "go", "swig", "javac", "zig",
)  # fmt: skip
_CHOSEN = {
    "CC": "cc",
    "CXX": "c++",
    "CPP": "cpp",
    "LD": "ld",
    "LDSHARED": "cc -shared",
    "FC": "gfortran",
    "F77": "f77",
    "F90": "f90",
}
_CALLED = "slipway: no compiler is called here"
_NONE = f"#!/bin/sh\necho '{_CALLED}' >&2\nexit 1\n"
_SIGNS = re.compile(rf"\b(?:{'|'.join(_FOR_COMPILING)})<0\b|{_CALLED}")


def build_constraints(workspace: Path) -> list[str]:
    """The installer's options for what builds ask for. `workspace` holds what they name."""
    constraints = workspace / "constraints.txt"
    constraints.write_text("".join(f"{package}<0\n" for package in _FOR_COMPILING))
    return ["--constraints", str(constraints)]


def no_compilers(folder: Path) -> Mapping[str, str]:
    """Fill a folder, which is to come first on the path, with compilers that only fail; the variables that choose them."""
    folder.mkdir()
    for name in _COMPILERS:
        (folder / name).write_text(_NONE)
        (folder / name).chmod(0o755)
    return _CHOSEN


def wanted_a_compiler(said: str) -> bool:
    """Whether a build that said this failed for that reason."""
    return _SIGNS.search(said) is not None
