"""Source packages that attack the app, other builds, this machine: built in the sandbox, as root and as another user."""

import json
import os
import socket
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from subprocess import run

import pytest

from local.machine import this_platform
from shared.domain.errors import BuildFailed
from shared.images.packages.pip import PackageInstaller
from tests.images.indexes import PURE, Index
from tests.security.users import User

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is made of Linux namespaces")

SECRET = "SECRET-OF-THE-APP"
INSTALL = """
import json, sys
from pathlib import Path
from shared.domain.errors import BuildFailed
from shared.images.packages.pip import PackageInstaller
platform, index, folder, *packages = sys.argv[1:]
installer = PackageInstaller(platform, "3.13", Path(folder, "downloads"), indexes=(index,))
try:
    installer.install(installer.lock(tuple(packages)), Path(folder, "tree"))
except BuildFailed as failed:
    sys.exit(f"{failed.code}: {failed.message}")
"""
ATTACK = """
import ctypes, errno, glob, json, os, signal, socket, sys, zipfile
targets = json.loads({targets!r})
libc = ctypes.CDLL(None, use_errno=True)
def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return True
def read(path):
    with open(path, "rb") as file:
        return file.read().decode(errors="replace")
def write(path):
    with open(path, "w") as file:
        return bool(file.write("poisoned"))
def unknown(folder):
    known = (sys.base_prefix, *targets["shown"])
    return [name for name in os.listdir(folder) if not any(one.startswith(f"{{folder}}/{{name}}/") for one in known)]
def send(family, kind, address):
    with socket.socket(family, kind) as reaching:
        reaching.settimeout(2)
        reaching.connect(address)
        return bool(reaching.send(b"!"))
got, refused = {{}}, []
for name, attempt in {{
{attempts}
}}.items():
    try:
        got[name] = attempt()
    except (OSError, ValueError) as error:
        refused.append(name)
"""
TELLING = """
plain = build_wheel
def build_wheel(folder, *_):
    name = plain(folder)
    with zipfile.ZipFile(f"{folder}/{name}", "a") as wheel:
        wheel.writestr("told.json", json.dumps([{key: value for key, value in got.items() if value}, refused]))
    return name
"""


def install(who: User, index: Index, *packages: str) -> None:
    environment = {"SLIPWAY_SECRET": SECRET, "AzureWebJobsStorage": SECRET}
    ran = who.run(INSTALL, this_platform(), index.url, str(who.folder), *packages, environment=environment)
    assert ran.returncode == 0, ran.stderr


def attacked(who: User, index: Index, attempts: dict[str, str], **targets: object) -> list[str]:
    """What a package got by those attempts, by name; all others were refused."""
    listed = "\n".join(f"    {name!r}: lambda: {code}," for name, code in attempts.items())
    index.add("evil", PURE + ATTACK.format(targets=json.dumps(targets), attempts=listed) + TELLING)
    install(who, index, "evil")
    got, refused = json.loads((who.folder / "tree" / "told.json").read_text())
    assert set(got) | set(refused) <= set(attempts)
    return sorted(got)


def test_no_secret_of_the_app_is_seen(who, index):
    (who.folder / "secret").write_text(SECRET)
    attempts = {
        "environments": "''.join(read(path) for path in glob.glob('/proc/[0-9]*/environ'))",
        "parent": "read(f'/proc/{os.getppid()}/environ')",
        "first": "read('/proc/1/environ')",
        "root": "os.listdir('/proc/1/root')",
        "file": "read(targets['secret'])",
        "home": "unknown('/root')",
        "temporary": "unknown('/tmp')",
        "configuration": "[name for name in os.listdir('/etc') if name != 'ld.so.cache']",
        "proc": "checked(libc.mount(b'proc', os.environ['TMPDIR'].encode(), b'proc', 0, None))",
        "own": "[name for name, value in os.environ.items() if 'SECRET' in name + value]",
        "descriptors": "[number for number in range(3, 256) if os.stat(number)]",
        "input": "sys.stdin.read()",
    }
    assert attacked(who, index, attempts, secret=str(who.folder / "secret"), shown=[f"{who.folder}/", __file__]) == []


def test_no_process_of_the_app_is_signalled_traced_or_outlived(who, index):
    with who.started("cat") as victim:
        attempts = {
            "killed": "os.kill(targets['victim'], 9) or True",
            "stopped": "os.kill(targets['victim'], 19) or True",
            "group": "os.killpg(targets['victim'], 9) or True",
            "traced": "checked(libc.ptrace(16, targets['victim'], 0, 0))",
            "namespace": "checked(libc.unshare(0x10000000))",
            "memory": "read(f\"/proc/{targets['victim']}/maps\")",
        }
        assert attacked(who, index, attempts, victim=victim.pid) == []
        assert victim.poll() is None


def test_a_daemon_that_kills_what_it_knows_as_its_warden_is_gone_with_the_build(who, index):
    name = f"daemon-{os.urandom(8).hex()}"
    index.add(
        "lasting",
        "import os, signal, subprocess, sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        for warden in (os.getppid(), 1):\n"
        "            try:\n"
        "                os.kill(warden, signal.SIGKILL)\n"
        "            except OSError:\n"
        "                pass\n"
        f"        os.execv(sys.executable, [{name!r}, '-c', 'import time; time.sleep(600)'])\n"
        "    os._exit(0)\n" + PURE,
    )
    install(who, index, "lasting")
    running = run(["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True).stdout
    assert name not in running


def test_nothing_on_this_machine_is_reached(who, index):
    address = who.folder / "socket"
    with ExitStack() as opened:
        tcp = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp, abstract, named = (
            opened.enter_context(closing(socket.socket(family, kind)))
            for family, kind in (
                (socket.AF_INET, socket.SOCK_DGRAM),
                (socket.AF_UNIX, socket.SOCK_STREAM),
                (socket.AF_UNIX, socket.SOCK_STREAM),
            )
        )
        udp.bind(("127.0.0.1", 0))
        abstract.bind(f"\0{os.urandom(8).hex()}")
        named.bind(str(address))
        for listening in (abstract, named):
            listening.listen()
        address.chmod(0o777)
        attempts = {
            "tcp": "send(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', targets['tcp']))",
            "index": "send(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', targets['packages']))",
            "abstract": "send(socket.AF_UNIX, socket.SOCK_STREAM, targets['abstract'])",
            "named": "send(socket.AF_UNIX, socket.SOCK_STREAM, targets['named'])",
            "internet": "send(socket.AF_INET, socket.SOCK_DGRAM, ('192.0.2.1', 53))",
            # a datagram is sent to whatever is not there: it is the receiver that tells
            "udp": "send(socket.AF_INET, socket.SOCK_DGRAM, ('127.0.0.1', targets['udp'])) and False",
        }
        targets = {"tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1], "named": str(address)}
        targets |= {"abstract": abstract.getsockname().decode(), "packages": int(index.sources.origin.rpartition(":")[2])}
        assert attacked(who, index, attempts, **targets) == []
        for listening in (tcp, udp, abstract, named):
            listening.settimeout(0)
            with pytest.raises(BlockingIOError):
                listening.recv(1) if listening is udp else listening.accept()


def test_nothing_outside_of_its_folder_is_written(who, index):
    attempts = {
        "app": f"write({str(Path(__file__).with_name('planted'))!r})",
        "downloads": f"write({str(who.folder / 'downloads' / 'planted')!r})",
        "tree": f"write({str(who.folder / 'tree' / 'planted')!r})",
        "temporary": "write('/tmp/planted-by-a-build')",
        "machine": "write('/usr/bin/planted-by-a-build')",
        "root": "write('/planted-by-a-build')",
        "interpreter": "write(os.path.join(sys.base_prefix, 'lib', 'planted'))",
        "environment": "write(os.path.join(sys.prefix, 'planted'))",
        "program": "write(sys.argv[0])",
        "shared memory": "write('/dev/shm/planted')",
        "opened up": "os.chmod(sys.prefix, 0o777) or True",
        "mounted": "checked(libc.mount(None, b'/', None, 32 | 4096, None))",
    }
    assert attacked(who, index, attempts) == []
    for path in ("/tmp/planted-by-a-build", "/usr/bin/planted-by-a-build", "/planted-by-a-build"):
        assert not Path(path).exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("os.symlink({secret!r}, f'{{work}}/built.whl')", "cannot be read"),
        ("os.mkfifo(f'{{work}}/built.whl')", "no file of at most"),
        ("os.mkdir(f'{{work}}/built.whl')", "no file of at most"),
        ("open(f'{{work}}/built.whl', 'w').truncate(5 << 30)", "File too large"),
    ],
)
def test_what_comes_out_is_a_file_and_no_way_to_another_one(who, index, code, said):
    (who.folder / "secret").write_text(SECRET)
    instead = code.format(secret=str(who.folder / "secret"))
    index.add(
        "linked",
        "import json, os\n"
        "def build_wheel(folder, *_):\n"
        "    work = os.path.dirname(folder)\n"
        f"    {instead}\n"
        "    with open(f'{work}/wheel.json', 'w') as file:\n"
        "        json.dump({'wheel': 'linked-1.0-py3-none-any.whl'}, file)\n"
        "    os._exit(0)\n",
    )
    ran = who.run(INSTALL, this_platform(), index.url, str(who.folder), "linked")
    assert ran.returncode == 1
    assert "SourceBuildFailed: linked==1.0" in ran.stderr
    assert said in ran.stderr
    assert SECRET not in ran.stderr


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('\'{"wheel": "../../../x-1.0-py3-none-any.whl"}\'', "no name of a wheel|it made"),
        ('\'{"wheel": "other-1.0-py3-none-any.whl"}\'', "it made other==1.0"),
        ("'[' * 100000", "no JSON"),
        ("'[]'", "no JSON object"),
        ("' ' * 5000000", "no file of at most"),
    ],
)
def test_what_a_build_answers_is_read_as_what_anybody_says(index, tmp_path, answer, said):
    code = (
        "import os\ndef build_wheel(folder, *_):\n"
        f"    open(os.path.dirname(folder) + '/wheel.json', 'w').write({answer})\n    os._exit(0)\n"
    )
    index.add("lying", code)
    installer = PackageInstaller(this_platform(), "3.13", tmp_path / "downloads", indexes=(index.url,))
    with pytest.raises(BuildFailed, match=said) as failed:
        installer.install(installer.lock(("lying",)), tmp_path / "tree")
    assert failed.value.code == "SourceBuildFailed"


@pytest.mark.parametrize(
    "spoiled",
    [
        "os.mkdir(f'{work}/wheel.json')",
        "os.symlink('/', f'{work}/wheel.json')",
        "os.rmdir(f'{work}/home') or os.symlink('/nowhere', f'{work}/home')",
        "os.rmdir(f'{work}/tmp') or open(f'{work}/tmp', 'w').close()",
        "os.chmod(work, 0)",
    ],
)
def test_a_build_that_spoils_its_folder_between_two_steps_breaks_itself_alone(who, index, spoiled):
    index.add(
        "spoiling",
        f"import os\ndef get_requires_for_build_wheel(*_):\n    work = os.path.dirname(os.environ['HOME'])\n    {spoiled}\n"
        "    return []\n"
        "def build_wheel(*_):\n    raise SystemExit('built')\n",
    )
    ran = who.run(INSTALL, this_platform(), index.url, str(who.folder), "spoiling")
    assert ran.returncode == 1
    assert "SourceBuildFailed: spoiling==1.0" in ran.stderr
    assert list(who.folder.glob("slipway-*")) == []


def test_what_a_build_asks_for_is_not_run_outside_either(index, tmp_path):
    marked = tmp_path / "marked"
    index.add_wheel("needed", files={"needed.pth": f"import contextlib, pathlib; pathlib.Path({str(marked)!r}).touch()\n"})
    twice = "def get_requires_for_build_wheel(*_):\n    return ['needed']\n"
    index.add("asking", PURE + twice, requires=("needed",))
    installer = PackageInstaller(this_platform(), "3.13", tmp_path / "downloads", indexes=(index.url,))
    installer.install(installer.lock(("asking",)), tmp_path / "tree")
    assert (tmp_path / "tree" / "asking.py").exists()
    assert not marked.exists()


def test_a_build_is_given_what_it_asks_for(index, tmp_path):
    for name in ("first", "second"):
        index.add_wheel(name)
    asks = "import first\ndef get_requires_for_build_wheel(*_):\n    return ['second']\n"
    uses = "plain = build_wheel\ndef build_wheel(*given):\n    import second\n    return plain(*given)\n"
    index.add("asking", PURE + asks + uses, requires=("first",))
    installer = PackageInstaller(this_platform(), "3.13", tmp_path / "downloads", indexes=(index.url,))
    installer.install(installer.lock(("asking",)), tmp_path / "tree")
    assert (tmp_path / "tree" / "asking.py").exists()
