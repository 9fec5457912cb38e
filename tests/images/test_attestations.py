"""What is said about images: valid by the published schemas, the same bytes each time, and without secrets."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf.json_format import Parse, ParseDict
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.statement import Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage

from shared.domain.manifests import Asset, Manifest, RuntimeProperties, RuntimeType, TargetRuntime
from shared.images.describing.artifacts import artifact
from shared.images.describing.attestations import (
    BUILD_TYPE,
    LOCK_MEDIA_TYPE,
    LOCK_TYPE,
    PROVENANCE_TYPE,
    SBOM_TYPE,
    Build,
    DescribedImage,
    InstalledPackage,
    Material,
    PackageKind,
    base_image,
    provenance,
    sbom,
)

DIGEST = f"sha256:{'1' * 64}"
OTHER = f"sha256:{'2' * 64}"
THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SIGNED = "https://store.example/models/{}?sv=2024&sig=SECRET"
IMAGE = DescribedImage("digits", 3, "acr.example/slipway/local-1/digits:3", DIGEST)
PACKAGES = (
    InstalledPackage(PackageKind.PYPI, "six", "1.17.0", (DIGEST, OTHER)),
    InstalledPackage(PackageKind.PYPI, "ruamel-yaml", "0.18+local", (OTHER,)),
    InstalledPackage(
        PackageKind.CONDA,
        "numpy",
        "2.1.0",
        (DIGEST,),
        "https://packages.example/t/SECRET/conda-forge/linux-64/numpy-2.1.0-py313h_0.conda",
    ),
)
MANIFEST = Manifest(
    id="01890000-0000-7000-8000-000000000009",
    name="digits",
    version=7,
    driver_program="driver",
    assets=(Asset(id="driver", url=SIGNED.format("driver.py")),),
    model_ids=("01890000-0000-7000-8000-000000000001",),
    target_runtime=TargetRuntime(
        runtime_type=RuntimeType.PYTHON,
        properties=RuntimeProperties(pip_requirements=SIGNED.format("requirements.txt"), apt_packages="libgomp1"),
    ),
    created_time=THEN,
)
BUILD = Build(
    manifest=MANIFEST,
    operation_id="01890000-0000-7000-8000-00000000000a",
    started=THEN,
    platform="linux/amd64",
    python="3.13",
    builder="https://slipway.example/",
    slipway="0.1.0",
)
MATERIALS = (
    base_image(f"python@{OTHER}"),
    Material("model digits version 1", DIGEST, SIGNED.format("model.pkl")),
    Material("pip.lock", OTHER),
)


def made_sbom(packages=PACKAGES, image=IMAGE, created=THEN) -> bytes:
    return sbom(image, packages, created=created, slipway="0.1.0")


def test_the_bill_of_materials_is_valid_by_the_strict_schema():
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(made_sbom().decode()) is None
    assert validator.validate_str(made_sbom(packages=()).decode()) is None


def test_the_bill_of_materials_names_the_image_and_all_its_packages():
    said = json.loads(made_sbom())
    subject = said["metadata"]["component"]
    assert (subject["type"], subject["name"], subject["version"]) == ("container", "digits", "3")
    assert subject["purl"] == (f"pkg:oci/digits@sha256:{'1' * 64}?repository_url=acr.example/slipway/local-1/digits&tag=3")
    assert subject["hashes"] == [{"alg": "SHA-256", "content": "1" * 64}]
    assert said["metadata"]["timestamp"] == "2026-01-02T03:04:05+00:00"
    assert [component["purl"] for component in said["components"]] == [
        "pkg:conda/numpy@2.1.0?build=py313h_0&channel=conda-forge&subdir=linux-64&type=conda",
        "pkg:pypi/ruamel-yaml@0.18%2Blocal",
        "pkg:pypi/six@1.17.0",
    ]
    assert [one["content"] for one in said["components"][2]["hashes"]] == ["1" * 64, "2" * 64]
    (whole,) = [one for one in said["dependencies"] if one["ref"] == subject["bom-ref"]]
    assert sorted(whole["dependsOn"]) == sorted(component["bom-ref"] for component in said["components"])


def test_the_bill_of_materials_is_the_same_bytes_in_any_order_and_time_zone():
    elsewhere = THEN.astimezone(timezone(timedelta(hours=5)))
    assert made_sbom() == made_sbom(PACKAGES[::-1] + PACKAGES[:1], created=elsewhere)


@pytest.mark.parametrize(
    "changed", [{"packages": PACKAGES[:2]}, {"image": replace(IMAGE, digest=OTHER)}, {"created": THEN + timedelta(days=1)}]
)
def test_its_serial_number_is_made_of_what_it_says(changed):
    one, other = (json.loads(made_sbom(**how))["serialNumber"] for how in ({}, changed))
    assert one.startswith("urn:uuid:")
    assert one != other


def test_an_image_in_a_layout_tells_nothing_of_its_machine():
    image = replace(IMAGE, location="oci:/home/somebody/images:digits:3")
    assert b"somebody" not in made_sbom(image=image)
    assert b"somebody" not in provenance(image, BUILD, MATERIALS)


def test_the_provenance_is_a_valid_statement_with_a_valid_predicate():
    text = provenance(IMAGE, BUILD, MATERIALS)
    Statement.copy_from_pb(Parse(text, StatementMessage())).validate()
    predicate = ParseDict(json.loads(text)["predicate"], Provenance())
    assert predicate.build_definition.build_type == BUILD_TYPE
    assert predicate.run_details.metadata.started_on.ToDatetime(UTC) == THEN
    assert predicate.run_details.builder.id == "https://slipway.example/"


def test_the_provenance_says_what_was_asked_for_and_what_went_in():
    said = json.loads(provenance(IMAGE, BUILD, MATERIALS))
    assert said["subject"] == [{"name": "acr.example/slipway/local-1/digits", "digest": {"sha256": "1" * 64}}]
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = said["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {
        "image": {"name": "digits", "version": 3},
        "manifest": {"id": MANIFEST.id, "name": "digits", "version": 7},
        "modelIds": ["01890000-0000-7000-8000-000000000001"],
        "runtimeType": "Python",
        "pipRequirements": "https://store.example/models/requirements.txt",
        "aptPackages": "libgomp1",
    }
    assert definition["internalParameters"] == {"platform": "linux/amd64", "python": "3.13", "slipway": "0.1.0"}
    assert definition["resolvedDependencies"] == [
        {
            "name": "base image",
            "uri": f"pkg:oci/python@sha256:{'2' * 64}?repository_url=docker.io/library/python",
            "digest": {"sha256": "2" * 64},
        },
        {
            "name": "model digits version 1",
            "uri": "https://store.example/models/model.pkl",
            "digest": {"sha256": "1" * 64},
        },
        {"name": "pip.lock", "digest": {"sha256": "2" * 64}},
    ]
    assert said["predicate"]["runDetails"]["metadata"]["invocationId"] == BUILD.operation_id


def test_nothing_that_is_said_holds_a_secret_and_all_is_the_same_each_time():
    for said in (made_sbom, lambda: provenance(IMAGE, BUILD, MATERIALS)):
        assert said() == said()
        assert b"SECRET" not in said()


@pytest.mark.parametrize(
    ("kind", "media_type", "content"),
    [
        (SBOM_TYPE, SBOM_TYPE, made_sbom()),
        (PROVENANCE_TYPE, PROVENANCE_TYPE, provenance(IMAGE, BUILD, MATERIALS)),
        (LOCK_TYPE, LOCK_MEDIA_TYPE, b"six==1.17.0\n"),
    ],
)
def test_each_goes_beside_its_image_as_an_artifact_of_its_type(kind, media_type, content):
    image = b'{"schemaVersion":2}'
    said = json.loads(artifact(image, kind, media_type, content, THEN).manifest)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert said["artifactType"] == kind
    assert said["layers"] == [{"mediaType": media_type, "digest": digest, "size": len(content)}]
    assert said["subject"]["digest"] == f"sha256:{hashlib.sha256(image).hexdigest()}"
