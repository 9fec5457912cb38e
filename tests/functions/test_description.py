"""The API's own description, held against what the app answers."""

import httpx
import jsonschema
import pytest

from tests.uploads import Road


@pytest.fixture(scope="module")
def description(stack) -> dict:
    answer = httpx.get(f"{stack.description['baseUrl']}/swagger.json")
    assert answer.status_code == 200
    return answer.json()


def test_it_needs_no_token_and_its_base_is_the_accounts(stack, description):
    assert description["openapi"].startswith("3.")
    assert description["servers"] == [{"url": stack.description["baseUrl"]}]


def test_it_describes_all_endpoints_of_the_contract_and_those_beyond_it(description):
    paths = description["paths"].items()
    found = {(method.upper(), path) for path, methods in paths for method in methods if method != "servers"}
    contract = {
        *((method, f"/{name}") for name in ("models", "manifests", "images", "services") for method in ("POST", "GET")),
        *(
            (method, f"/{name}/{{id}}")
            for name in ("models", "manifests", "images", "services")
            for method in ("GET", "DELETE")
        ),
        ("PUT", "/services/{id}"),
        ("GET", "/services/{id}/keys"),
        ("POST", "/services/{id}/regenerateKeys"),
        ("GET", "/deployments"),
        ("GET", "/deployments/{id}"),
        ("GET", "/operations"),
        ("GET", "/operations/{id}"),
        ("POST", "/operations/{id}/cancel"),
        ("GET", "/swagger.json"),
    }
    extensions = {
        ("GET", "/health"),
        ("GET", "/images/{id}/logs"),
        ("GET", "/services/{id}/logs"),
        ("GET", "/computeResources"),
        *((method, "/computeResources/{name}") for method in ("GET", "PUT", "DELETE")),
    }
    assert found == contract | extensions


def test_every_endpoint_it_describes_is_served(stack, description):
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            if method == "servers":
                continue
            (server,) = methods.get("servers", description["servers"])
            answer = httpx.request(method, server["url"] + path.replace("{id}", "x"))
            assert answer.status_code == (200 if operation.get("security") == [] else 401), (method, path)


def operations(description: dict) -> list[tuple[str, str, dict]]:
    paths = description["paths"].items()
    return [(method, path, of) for path, methods in paths for method, of in methods.items() if method != "servers"]


def test_it_names_its_licence_and_groups_operations_by_resource(description):
    assert description["info"]["license"] == {"name": "MIT", "identifier": "MIT"}
    tags = {tag["name"] for tag in description["tags"]}
    assert tags == {"models", "manifests", "images", "services", "deployments", "operations", "computeResources", "about"}
    for method, path, operation in operations(description):
        (tag,) = operation["tags"]
        assert tag in tags
        assert tag == "about" or path.startswith(f"/{tag}"), (method, path)
    assert all(tag["description"] for tag in description["tags"])


def test_the_api_version_has_a_default_that_is_taken(description):
    for method, path, operation in operations(description):
        for parameter in operation["parameters"]:
            if parameter["name"] == "api-version":
                assert parameter["schema"]["default"] == "2017-09-01-preview", (method, path)


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("get", "/models", {"200", "400", "401", "403", "404"}),
        ("post", "/models", {"200", "400", "401", "403", "404", "412", "413"}),
        ("post", "/services", {"202", "400", "401", "403", "404", "409", "412", "413"}),
        ("put", "/services/{id}", {"202", "400", "401", "403", "404", "409", "412", "413"}),
        ("delete", "/models/{id}", {"200", "204", "400", "401", "403", "404", "409", "412"}),
        ("get", "/images/{id}/logs", {"200", "400", "401", "403", "404"}),
        ("get", "/health", {"200", "503"}),
        ("get", "/swagger.json", {"200", "404"}),
    ],
)
def test_the_refusals_that_are_answered_are_error_responses(description, method, path, statuses):
    responses = description["paths"][path][method]["responses"]
    assert statuses <= set(responses)
    for status in statuses:
        if status.startswith("4"):
            schema = responses[status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/ErrorResponse"}
    assert "default" in responses


def test_what_has_a_tag_says_so_and_takes_preconditions(description):
    tagged = {path for method, path, operation in operations(description) if "304" in operation["responses"]}
    resources = ("models", "manifests", "images", "services", "deployments", "operations")
    assert tagged == {
        *(f"/{name}/{{id}}" for name in resources),
        "/computeResources/{name}",
        "/services/{id}/keys",
        "/swagger.json",
    }
    for method, path, operation in operations(description):
        headers = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "header"}
        changes = method in ("put", "delete") or path.endswith(("/regenerateKeys", "/cancel"))
        assert ({"If-Match", "If-None-Match"} <= headers) == (changes or path in tagged), (method, path)


def test_what_the_app_answers_is_what_it_describes(stack, api, description):
    road = Road(api, stack.description)
    service = road.service(road.image())
    operation = api.get("images").json()["value"][0]["operationId"]
    answers = {
        "/models": api.get("models"),
        "/manifests/{id}": api.get(f"manifests/{service['manifest']['id']}"),
        "/images/{id}": api.get(f"images/{service['image']['id']}"),
        "/images": api.get("images"),
        "/services/{id}": api.get(f"services/{service['id']}"),
        "/services": api.get("services"),
        "/services/{id}/keys": api.get(f"services/{service['id']}/keys"),
        "/deployments": api.get("deployments"),
        "/operations/{id}": api.get(f"operations/{operation}"),
        "/computeResources": api.get("computeResources"),
        "/computeResources/{name}": api.get("computeResources/local"),
    }
    for path, answer in answers.items():
        responses = description["paths"][path]["get"]["responses"]
        validate(answer, responses[str(answer.status_code)], description)
    missing = api.get(f"models/{operation}")
    validate(missing, description["paths"]["/models/{id}"]["get"]["responses"]["default"], description)


def test_a_body_that_does_not_fit_its_description_is_refused_by_both(api, description):
    body = {"name": 7}
    schema = description["paths"]["/models"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, {**schema, "components": description["components"]})
    assert api.post("models", json=body).status_code == 400


def validate(answer: httpx.Response, response: dict, description: dict) -> None:
    schema = response["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json(), {**schema, "components": description["components"]})


def parameters(description: dict) -> list[tuple[str, dict]]:
    return [
        (f"{method} {path} {one['name']}", one["schema"])
        for method, path, operation in operations(description)
        for one in operation["parameters"]
    ]


def ends(pattern: str) -> bool:
    """Whether a pattern matches no text without end."""
    return pattern.endswith("$") and "*" not in pattern and "+" not in pattern.replace("[+-]", "")


def bounded(schema: dict) -> bool:
    """Whether a schema says how long or how large what it takes may be."""
    match schema.get("type"):
        case "string":
            return "maxLength" in schema or "enum" in schema or ends(schema.get("pattern", ".*"))
        case "integer":
            return {"minimum", "maximum"} <= schema.keys()
        case "array":
            return "maxItems" in schema and bounded(schema["items"])
        case "object":
            return not schema.get("additionalProperties", True) or "maxProperties" in schema
        case "boolean" | "null":
            return True
    return bool(schema.get("readOnly")) or all(bounded(one) for one in schema.get("anyOf", [{}]))


def resolved(schema: dict, description: dict) -> dict:
    name = schema.get("$ref", "").rpartition("/")[2]
    return description["components"]["schemas"][name] if name else schema


def test_every_parameter_says_what_it_takes(description):
    for name, schema in parameters(description):
        assert bounded(resolved(schema, description)), (name, schema)


def test_every_property_of_a_body_says_what_it_takes(description):
    left = [
        operation["requestBody"]["content"]["application/json"]["schema"]
        for _, _, operation in operations(description)
        if "requestBody" in operation
    ]
    seen: list[str] = []
    while left:
        schema = left.pop()
        if (reference := schema.get("$ref")) is None:
            left.extend(schema.get("anyOf", ()))
            continue
        if reference in seen:
            continue
        seen.append(reference)
        kind = resolved(schema, description)
        assert kind.get("additionalProperties") is False or "enum" in kind, reference
        for name, one in kind.get("properties", {}).items():
            branches = [inner for inner in one.get("anyOf", [one]) if "$ref" not in inner]
            assert all(bounded(inner) for inner in branches if "items" not in inner), (reference, name, one)
            left += [one, *(inner["items"] for inner in branches if "items" in inner)]
    assert len(seen) > 20


@pytest.mark.parametrize("kind", ["ModelRequest", "ManifestRequest", "ComputeResourceRequest"])
def test_what_is_read_only_may_be_sent_whatever_it_holds(description, kind):
    properties = description["components"]["schemas"][kind]["properties"]
    ignored = {name for name, schema in properties.items() if schema.get("readOnly")}
    assert "id" in ignored
    assert {frozenset(properties[name]) for name in ignored} == {frozenset({"readOnly", "description"})}


@pytest.mark.parametrize("value", [None, 7, "x", [], {"a": None}])
def test_a_body_with_read_only_properties_is_taken_by_both(api, description, value):
    body = {"name": "digits", "url": "http://store/x", "mimeType": "a/b", "id": value, "version": value, "createdAt": value}
    schema = description["paths"]["/models"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(body, {**schema, "components": description["components"]})
    answer = api.post("models", json=body)
    assert answer.status_code == 200
    assert answer.json()["version"] >= 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"nmae": None}, "nmae: unknown property; the nearest known one is name."),
        ({"autoScaler": {"minReplica": None}}, "autoScaler.minReplica: unknown property"),
    ],
)
def test_an_unknown_property_is_refused_though_it_is_null(api, body, said):
    path, whole = ("models", {"name": "d", "url": "http://s/x", "mimeType": "a/b"}) if "nmae" in body else ("services", {})
    answer = api.post(path, json={**whole, **body})
    assert answer.status_code == 400
    assert said in answer.json()["message"]


def test_a_null_optional_property_is_an_absent_one_in_the_description_too(api, description):
    body = {"name": "digits", "url": "http://store/x", "mimeType": "a/b", "tags": None, "unpack": None, "description": None}
    schema = description["paths"]["/models"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(body, {**schema, "components": description["components"]})
    assert api.post("models", json=body).status_code == 200


def test_an_absent_body_is_one_only_where_nothing_is_required(description):
    required = {
        operation["operationId"]: operation["requestBody"]["required"]
        for *_, operation in operations(description)
        if "requestBody" in operation
    }
    assert {name for name, one in required.items() if not one} == {"regenerate_service_key", "update_service"}
