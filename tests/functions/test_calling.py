"""What all endpoints have in common, by HTTP, under the published Functions runtime."""

import httpx
import pytest

MODEL = {"name": "digits", "url": "http://store/digits.pkl?sig=x", "mimeType": "application/json", "description": None}
NOBODY = "01890000-0000-7000-8000-0000000000ff"


def test_no_token_is_401_and_says_how_to_come_with_one(stack):
    answer = httpx.get(f"{stack.description['baseUrl']}/models?api-version=2017-09-01-preview")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json() == {
        "code": "Unauthenticated",
        "message": "There is no bearer token; send Authorization: Bearer <token>.",
        "statusCode": 401,
    }


def test_a_reader_reads_and_may_neither_change_nor_see_keys(stack):
    with stack.client(stack.token("Slipway.Reader")) as reader:
        assert reader.get("models").status_code == 200
        assert reader.post("models", json=MODEL).status_code == 403
        assert reader.get(f"services/{NOBODY}/keys").status_code == 403
        assert reader.delete(f"models/{NOBODY}").status_code == 403


def test_a_token_without_a_role_may_nothing(stack):
    with stack.client(stack.token()) as nobody:
        assert nobody.get("models").status_code == 403


@pytest.mark.parametrize("part", ["subscriptions/", "resourceGroups/", "accounts/"])
def test_any_other_account_is_404(stack, api, part):
    base = stack.description["baseUrl"].replace(part, f"{part}x")
    answer = api.get(f"{base}/models")
    assert (answer.status_code, answer.json()["code"]) == (404, "AccountNotFound")


def test_accounts_are_compared_without_regard_to_case(stack, api):
    base = (
        stack.description["baseUrl"].replace("accounts/local", "ACCOUNTS/LOCAL").replace("resourceGroups", "resourcegroups")
    )
    assert api.get(f"{base}/models").status_code == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?api-version=2018-01-01", 400),
        ("?api-version=2017-09-01-preview", 200),
        ("?api-version=2017-09-01-preview&api-version=2017-09-01-preview", 200),
        ("?api-version=2017-09-01-preview&api-version=2018-01-01", 400),
    ],
)
def test_the_api_version_is_required_and_may_arrive_twice(stack, query, status):
    headers = {"Authorization": f"Bearer {stack.description['token']}"}
    answer = httpx.get(f"{stack.description['baseUrl']}/models{query}", headers=headers)
    assert answer.status_code == status
    assert answer.headers["api-supported-versions"] == "2017-09-01-preview"


def test_an_operation_is_found_without_an_api_version(stack):
    headers = {"Authorization": f"Bearer {stack.description['token']}"}
    answer = httpx.get(f"{stack.description['baseUrl']}/operations/{NOBODY}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "OperationNotFound")


def test_request_ids_are_echoed_and_made(api):
    echoed = api.get("models", headers={"x-ms-client-request-id": "mine-1"})
    made = api.get("models", headers={"x-ms-client-request-id": "not\tgood"})
    assert echoed.headers["x-ms-client-request-id"] == "mine-1"
    assert made.headers["x-ms-client-request-id"] not in ("", "not\tgood")
    assert echoed.headers["x-ms-request-id"] != made.headers["x-ms-request-id"]


def test_an_error_has_its_code_in_a_header_too(api):
    answer = api.post("models", json={**MODEL, "nmae": 1})
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (400, "InvalidRequest")
    assert answer.json()["details"] == [
        {"code": "UnknownProperty", "message": "nmae: unknown property; the nearest known one is name."}
    ]


@pytest.mark.parametrize("path", ["models", "manifests", "images", "services", "deployments", "operations"])
@pytest.mark.parametrize("identifier", [NOBODY, "not-a-uuid"])
def test_what_is_not_there_is_404(api, path, identifier):
    answer = api.get(f"{path}/{identifier}")
    assert answer.status_code == 404
    assert answer.json()["statusCode"] == 404


@pytest.mark.parametrize("path", ["models", "manifests", "images", "services"])
@pytest.mark.parametrize("identifier", [NOBODY, "not-a-uuid"])
def test_deleting_what_is_not_there_is_204(api, path, identifier):
    answer = api.delete(f"{path}/{identifier}")
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"count": "0"}, "count: got '0'"),
        ({"count": "1001"}, "count: got '1001'"),
        ({"count": "ten"}, "count: got 'ten'"),
        ({"$skipToken": "forged"}, "$skipToken"),
        ({"nmae": "x"}, "nmae: unknown property; the nearest known one is name."),
    ],
)
def test_a_query_that_makes_no_sense_is_400_and_names_the_parameter(api, query, named):
    answer = api.get("models", params=query)
    assert answer.status_code == 400
    assert named in answer.json()["message"]


def test_an_id_filter_takes_ids_only(api):
    answer = api.get("manifests", params={"modelId": "digits"})
    assert answer.status_code == 400
    assert "modelId: got" in answer.json()["message"]


def test_a_body_over_the_bound_of_the_host_is_refused(api):
    assert api.post("models", content=b"x" * (100 * 1024 * 1024 + 1)).status_code == 413
