"""The machine that a stack runs on, in the words of images."""

import platform


def this_platform() -> str:
    """The platform of this machine, as OCI writes it: `linux/amd64`."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}/{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"
