"""What a kube-apiserver answers when it refuses: the type Status, and the messages of k8s.io/apimachinery/pkg/api/errors."""

from typing import Any


class Refused(Exception):
    """An answer that is a Status."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.headers: dict[str, str] = {}
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": details or {},
            "code": code,
        }


def _about(resource: str, name: str, **more: Any) -> dict[str, Any]:
    plural, _, group = resource.partition(".")
    return {"name": name, "kind": plural, **({"group": group} if group else {}), **more}


def not_found(resource: str, name: str) -> Refused:
    return Refused(404, "NotFound", f'{resource} "{name}" not found', _about(resource, name))


def exists(resource: str, name: str) -> Refused:
    return Refused(409, "AlreadyExists", f'{resource} "{name}" already exists', _about(resource, name))


def modified(resource: str, name: str) -> Refused:
    said = "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource} "{name}": {said}'
    return Refused(409, "Conflict", message, _about(resource, name))


def apply_conflict(conflicts: list[tuple[str, str, str]]) -> Refused:
    """`conflicts` are the other manager, the apiVersion it used, and the field."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f'conflict with "{manager}" using {version}', "field": field}
        for manager, version, field in conflicts
    ]
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    listed = "; ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    return Refused(409, "Conflict", f"Apply failed with {count}: {listed}", {"causes": causes})


def invalid(kind: str, group: str, name: str, field: str, said: str) -> Refused:
    named = f"{kind}.{group}" if group else kind
    causes = [{"reason": "FieldValueInvalid", "message": said, "field": field}]
    details = {"name": name, "group": group, "kind": kind, "causes": causes}
    return Refused(422, "Invalid", f'{named} "{name}" is invalid: {field}: {said}', details)


def not_declared(api_version: str, kind: str, said: str) -> Refused:
    """What server-side apply says of unknown fields: an error of the server's, without a reason."""
    message = f"failed to create typed patch object ({api_version}, Kind={kind}): {said}: field not declared in schema"
    return Refused(500, "", message)


def untyped(api_version: str, kind: str, said: str) -> Refused:
    """What server-side apply says of what it cannot read: an error of the server's, too."""
    return Refused(500, "", f"failed to create typed patch object ({api_version}, Kind={kind}): {said}")


def not_admitted(resource: str, name: str, said: str) -> Refused:
    """By admission."""
    return Refused(403, "Forbidden", f'{resource} "{name}" is forbidden: {said}', _about(resource, name))


def bad_request(message: str) -> Refused:
    return Refused(400, "BadRequest", message)


def forbidden(verb: str, resource: str, name: str, namespace: str) -> Refused:
    """By RBAC."""
    plural, _, group = resource.partition(".")
    named = f'{resource} "{name}"' if name else resource
    said = f'User "slipway-test" cannot {verb} resource "{plural}" in API group "{group}" in the namespace "{namespace}"'
    return Refused(403, "Forbidden", f"{named} is forbidden: {said}", _about(resource, name))


def forbidden_path(verb: str, path: str) -> Refused:
    """By RBAC, of what is no object; and of everything, as long as it knows no permissions yet."""
    return Refused(403, "Forbidden", f'forbidden: User "slipway-test" cannot {verb} path "{path}"')


def anonymous(verb: str, path: str) -> Refused:
    """Who shows no token at all is somebody, too."""
    return Refused(403, "Forbidden", f'forbidden: User "system:anonymous" cannot {verb} path "{path}"')


def no_such_resource() -> Refused:
    """A kind that a group does not have which is served."""
    return Refused(404, "NotFound", "the server could not find the requested resource")


def unauthorized() -> Refused:
    return Refused(401, "Unauthorized", "Unauthorized")


def unsupported(content_type: str) -> Refused:
    said = (
        f"the body of the request was in an unknown format - accepted media types include: application/json; {content_type}"
    )
    return Refused(415, "UnsupportedMediaType", said)


def method_not_allowed() -> Refused:
    return Refused(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
