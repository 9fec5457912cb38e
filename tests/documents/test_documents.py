"""What the README and the pages of docs/ tell people to type: it is run as it stands, and does what they say."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from local.az2017 import sign_in
from local.azurite.server import free_ports
from tests.documents.blocks import DOCUMENTS, REPOSITORY, Block, every_block, to_run
from tests.documents.shells import SHELLS, Said, installed, paste
from tests.waiting import eventually

README = DOCUMENTS[0]
RUN = [document for document in DOCUMENTS if to_run(document)]


def test_every_block_is_run_or_says_why_not():
    unknown = [block.place for block in every_block() if not block.reason and block.language not in ("bash", "python")]
    assert not unknown, "neither run, nor marked with <!-- not run: reason -->, nor what the block above prints"
    marked = [f"{block.place}: {block.reason}" for block in every_block() if block.reason]
    assert len(marked) == 4, "\n".join(marked)


def test_a_block_can_be_pasted_into_zsh_which_takes_a_comment_for_words():
    words = [block.place for block in every_block() if block.language == "bash" and re.search(r"(^|\s)#\s", block.text)]
    assert words == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_to_files_and_headings_that_there_are(document: Path):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text()):
        name, _, anchor = target.partition("#")
        page = document.parent / name if name else document
        assert page.exists(), target
        assert not anchor or anchor in anchors(page), target


def anchors(page: Path) -> set[str]:
    """The addresses of a page's headings, as Git hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", RUN, ids=lambda document: document.name)
def test_the_blocks_of_a_document_run_in_their_order_and_print_what_it_shows(document: Path, up: Path, tmp_path: Path):
    blocks = to_run(document)
    path = python_36() if any("python3.6" in block.text for block in blocks) else ""
    said = paste([block.text for block in blocks], up, tmp_path / "said", path=path, seconds=240)
    for block, of_it in zip(blocks, said, strict=True):
        assert (of_it.status, of_it.error) == (0, ""), (block.place, said)
        assert not block.shown or as_shown(block, of_it), (block.place, of_it.out)


def python_36() -> str:
    """The folder of a Python 3.6: one that pyenv has, or the path's own. Skips the test without one."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    folders = [*pyenv.glob("3.6.*/bin"), *map(Path, os.environ["PATH"].split(":"))]
    for folder in folders:
        program = folder / "python3.6"
        if program.exists() and subprocess.run([program, "-V"], capture_output=True, check=False).returncode == 0:
            return str(folder)
    pytest.skip("the client of 2017 needs Python 3.6, which is not on this machine")


def as_shown(block: Block, said: Said) -> bool:
    """Whether a block printed what the document shows, where … stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, block.shown.strip().split("…"))), said.out.strip(), re.DOTALL) is not None


def shells() -> list[object]:
    reason = "is not installed on this machine"
    return [pytest.param(name, marks=pytest.mark.skipif(not installed(name), reason=f"{name} {reason}")) for name in SHELLS]


def functions() -> str:
    return next(block.text for block in to_run(README) if "finished()" in block.text)


@pytest.mark.parametrize("shell", shells())
def test_without_a_stack_the_readme_ends_soon_and_says_what_is_missing(shell: str, stopped: Path, tmp_path: Path):
    blocks = [block.text for block in to_run(README)]
    said = paste(blocks, stopped, tmp_path / "said", shell=shell, seconds=90)
    everything = "".join(one.out + one.error for one in said)
    assert "Traceback" not in everything
    assert ".slipway/local.json" in said[blocks.index(functions())].error
    assert "make up" in everything


@pytest.mark.parametrize("shell", shells())
def test_a_stack_that_has_stopped_is_told_by_curl(shell: str, up: Path, tmp_path: Path):
    gone = f"{functions()}\nBASE=http://127.0.0.1:{free_ports(1)[0]}/api"
    lines = [
        gone,
        "call GET models | field value",
        "start POST images '{}' | finished",
        'echo "$BASE/operations/1" | finished',
    ]
    for one in paste(lines, up, tmp_path / "said", shell=shell, seconds=60)[1:]:
        assert one.status == 1
        assert "Failed to connect" in one.error or "Couldn't connect" in one.error
        assert "Traceback" not in one.error


def test_a_proxy_of_the_environment_does_not_stand_between(up: Path, tmp_path: Path):
    broken = "export http_proxy=http://127.0.0.1:9 HTTP_PROXY=http://127.0.0.1:9 NO_PROXY=example.com"
    lines = [broken, functions(), "echo 1 > proxied.txt; upload proxied.txt", "call GET models | field value"]
    assert [one.status for one in paste(lines, up, tmp_path / "said", seconds=60)] == [0, 0, 0, 0]


@pytest.mark.parametrize("shell", shells())
def test_a_refusal_is_shown_in_the_apis_own_words(shell: str, up: Path, tmp_path: Path):
    lines = [functions(), 'call POST models \'{"nam": "adder"}\' | field id', "start POST images '{\"nam\": 1}' | finished"]
    lines += [
        'echo "$BASE/operations/00000000-0000-0000-0000-000000000000" | finished',
        "call GET models | field value.0.nam",
    ]
    _, model, image, operation, last = paste(lines, up, tmp_path / "said", shell=shell, seconds=60)
    for one in (model, image):
        assert (one.status, one.out) == (1, "")
        assert "the nearest known one is name" in one.error
    assert "NotFound" in operation.error
    assert (last.status, "Traceback" in last.error) == (1, False)


@pytest.mark.parametrize("shell", shells())
def test_an_operation_that_fails_ends_the_wait_and_says_why(shell: str, up: Path, tmp_path: Path):
    body = (
        '\'{"name": "misspelt", "driverProgram": "driver", "assets": [{"id": "driver", "url": "\'"$DRIVER"\'"}], '
        '"targetRuntime": {"runtimeType": "Python", "properties": {"pipRequirements": "\'"$REQUIREMENTS"\'"}}}\''
    )
    manifest = f"""echo slipway-sckit-lern > misspelt.txt
    echo 'def run(body): return body' > misspelt.py
    DRIVER=$(upload misspelt.py) && REQUIREMENTS=$(upload misspelt.txt) &&
    MANIFEST=$(call POST manifests {body} | field id)"""
    build = """start POST images '{"name": "misspelt", "imageType": "Docker", "manifestId": "'"$MANIFEST"'",
    "computeResourceId": "'"$COMPUTE"'"}' | finished"""
    _, made, built = paste([functions(), manifest, build], up, tmp_path / "said", shell=shell, seconds=120)
    assert (made.status, made.error) == (0, "")
    assert (built.status, built.out) == (1, "")
    assert "slipway-sckit-lern" in built.error


@pytest.mark.parametrize("shell", shells())
def test_a_wait_for_what_does_not_end_ends_after_ten_minutes(shell: str, up: Path, tmp_path: Path):
    class Running(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"state": "Running", "steps": [{"state": "Succeeded"}]}')

    server = ThreadingHTTPServer(("127.0.0.1", 0), Running)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    clock = "NOW=0; date() { echo $NOW; }; sleep() { NOW=$((NOW + 200 * $1)); }"
    wait = f"echo http://127.0.0.1:{server.server_port}/operations/1 | finished"
    *_, waited = paste([functions(), clock, wait], up, tmp_path / "said", shell=shell, seconds=60)
    server.shutdown()
    server.server_close()
    assert (waited.status, waited.out) == (1, "")
    assert "still Running after 10 minutes" in waited.error


def test_the_readmes_driver_is_one_that_the_scoring_server_runs(tmp_path: Path):
    (driver,) = [block.text for block in every_block() if block.language == "python"]
    (tmp_path / "driver.py").write_text(driver)
    (tmp_path / "digits.pkl").write_bytes(b"\x80\x02cdigits\nModel\n)\x81.")
    source = "import array\nclass Model:\n    def predict(self, rows): return array.array('d', map(sum, rows))\n"
    (tmp_path / "digits.py").write_text(source)
    port = free_ports(1)[0]
    environment = {"SLIPWAY_DRIVER": "driver.py", "SLIPWAY_DEPENDENCIES": str(tmp_path / "none"), "SLIPWAY_PORT": str(port)}
    server = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "runtime")],
        cwd=tmp_path,
        env={**environment, "PATH": os.environ["PATH"], "SLIPWAY_HOST": "127.0.0.1"},
        stdout=subprocess.DEVNULL,
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=8)) as client:
        eventually(lambda: client.get("/").status_code == 200)
        assert client.post("/score", json={"rows": [[1, 2], [3, 4]]}).json() == [3, 7]
    server.terminate()
    assert server.wait(timeout=20) == 0


def test_the_client_of_2017_is_told_what_azure_would_tell_it_and_nobody_else_is(tmp_path: Path):
    cluster = "/subscriptions/s/resourcegroups/g/providers/Microsoft.MachineLearningCompute/operationalizationClusters/local"
    sign_in(tmp_path / ".azure", {"baseUrl": "http://here/accounts/a", "token": "t", "computeResourceId": cluster})
    written = {file.name: json.loads(file.read_text()) for file in (tmp_path / ".azure").iterdir()}
    assert {file.stat().st_mode & 0o077 for file in (tmp_path / ".azure").iterdir()} == {0}
    account, compute = (
        f"vienna{name}.json" for name in ("ModelManagementAccountProfile", "OperationalizationComputeResource")
    )
    assert written[account]["model_management_swagger_location"] == "http://here/accounts/a/swagger.json"
    assert (written[compute]["resource_group"], written[compute]["name"]) == ("g", "local")
    assert written["accessTokens.json"][0]["accessToken"] == "t"
    assert written["azureProfile.json"]["subscriptions"][0]["id"] == "s"


def test_the_client_of_2017_says_that_there_is_no_stack(tmp_path: Path):
    command = [sys.executable, str(REPOSITORY / "local" / "az2017.py"), "ml", "model", "list"]
    environment = {**os.environ, "SLIPWAY_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"there is no {tmp_path}/local.json: start the stack with `make up`\n")
