"""The schemas of Kubernetes' own kinds, as `kubernetes-validate` holds them: strict, of the newest version it has."""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import jsonschema
import referencing
from kubernetes_validate.utils import latest_version, schema_contents

type Schema = dict[str, Any]

_DEFINITION = "/api/_definitions.json#/$defs/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_OF_CUSTOM: Schema = {"properties": {"metadata": {"$ref": _DEFINITION + _META}}}


@dataclass(frozen=True)
class Wrong:
    """A field, and what is wrong with it; `undeclared` when one below it is unknown."""

    field: str
    said: str
    undeclared: bool = False


class Schemas:
    """The schemas of one version of Kubernetes."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._directory = f"kubernetes-json-schema/v{version}-local-strict"

    @cached_property
    def _definitions(self) -> dict[str, Any]:
        return schema_contents(f"{self._directory}/_definitions.json", self.version)

    @cache  # noqa: B019  # there is one for the whole run
    def of(self, api_version: str, kind: str) -> Schema:
        """The schema of that kind; of a custom one, what all objects share."""
        group, _, version = api_version.rpartition("/")
        short = f"{group.partition('.')[0]}-{version}" if group else version
        try:
            return schema_contents(f"{self._directory}/{kind.lower()}-{short}.json", self.version)
        except FileNotFoundError:
            return _OF_CUSTOM

    def resolved(self, schema: Schema) -> Schema:
        """It, or what it refers to: what it says itself goes first, such as how a list is merged."""
        reference = schema.get("$ref")
        if reference is None:
            return schema
        return self._definitions["$defs"][reference.rpartition("/")[2]] | {
            key: value for key, value in schema.items() if key.startswith("x-kubernetes")
        }

    def wrong(self, document: dict[str, Any]) -> Wrong | None:
        """The first field that is wrong, and what with it."""
        validator = self._validator(document["apiVersion"], document["kind"])
        error = next(validator.iter_errors(document), None)
        if error is None:
            return None
        field = ".".join(str(step) for step in error.absolute_path)
        return Wrong(field, error.message[:300], undeclared=error.validator == "additionalProperties")

    @cache  # noqa: B019
    def _validator(self, api_version: str, kind: str) -> jsonschema.Draft202012Validator:
        schema = self.of(api_version, kind)
        if schema is _OF_CUSTOM:
            return jsonschema.Draft202012Validator({})
        registry = referencing.Registry().with_resources(
            [(one["$id"], referencing.Resource.from_contents(one)) for one in (schema, self._definitions)]
        )
        return jsonschema.Draft202012Validator(schema, registry=registry)


@cache
def newest() -> Schemas:
    return Schemas(latest_version())
