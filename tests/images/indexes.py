"""A package index of the tests' own, on loopback: source packages that are built by code a test gives, and wheels."""

import hashlib
import io
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Mapping

from tests.images.sources import Sources

PROJECT = "[build-system]\nrequires={1}\nbuild-backend='back'\nbackend-path=['.']\n[project]\nname='{0}'\nversion='1.0'\n"
WHEEL = """
import tomllib, zipfile
def build_wheel(folder, *_):
    with open("pyproject.toml", "rb") as file:
        name, tag = tomllib.load(file)["project"]["name"], {tag!r}
    with zipfile.ZipFile(f"{{folder}}/{{name}}-1.0-{{tag}}.whl", "w") as wheel:
        wheel.writestr(f"{{name}}.py", "")
        wheel.writestr(f"{{name}}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\\nName: {{name}}\\nVersion: 1.0\\n")
        wheel.writestr(f"{{name}}-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: {{tag}}\\n")
        wheel.writestr(f"{{name}}-1.0.dist-info/RECORD", "")
    return f"{{name}}-1.0-{{tag}}.whl"
"""
PURE = WHEEL.format(tag="py3-none-any")


class Index:
    """A package index with source packages, each of which is built by the code that a test gives."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._links: defaultdict[str, dict[str, str]] = defaultdict(dict)

    @property
    def url(self) -> str:
        return f"http://{self.sources.origin}/simple"

    def add(self, name: str, backend: str, *, more: str = "", requires: tuple[str, ...] = ()) -> None:
        files = {"pyproject.toml": PROJECT.format(name, list(requires)) + more, "back.py": backend}
        files["PKG-INFO"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path, text in files.items():
                info = tarfile.TarInfo(f"{name}-1.0/{path}")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
        self._list(name, f"{name}-1.0.tar.gz", packed.getvalue())

    def add_wheel(
        self, name: str, version: str = "1.0", tag: str = "py3-none-any", files: Mapping[str, str] | None = None
    ) -> str:
        """Its lines of a lock."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as wheel:
            information = f"{name}-{version}.dist-info"
            for path, text in {f"{name}.py": "", **(files or {})}.items():
                wheel.writestr(path, text)
            wheel.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            wheel.writestr(f"{information}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
            wheel.writestr(f"{information}/RECORD", "")
        self._list(name, f"{name.replace('-', '_')}-{version}-{tag}.whl", packed.getvalue())
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(packed.getvalue()).hexdigest()}\n"

    def _list(self, name: str, file: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        self.sources.put(file, content)
        self._links[name][file] = f'<a href="/{file}#sha256={digest}">{file}</a>'
        listed = "".join(self._links[name].values()).encode()
        self.sources.put(f"simple/{name}/", listed, headers={"Content-Type": "text/html"})
