"""Azurite, the storage emulator: installed from npm by its lock file, run by the node that a Python package brings."""
