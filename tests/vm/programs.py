"""programs.py DIR BINARY: puts the programs under test into DIR.

These are cloison itself, BINARY, and built here every integration test program under its own
name and the library's unit tests as cloison-unit. All are static, so the guest need not have the
builder's libraries. cloison is as it is released.
"""

import json
import pathlib
import shutil
import subprocess
import sys


def main(directory: pathlib.Path, binary: pathlib.Path) -> None:
    cargo = ["cargo", "test", "--locked", "--no-run", "--message-format=json-render-diagnostics"]
    build = subprocess.run(cargo, stdout=subprocess.PIPE, text=True, check=True)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    shutil.copy(binary, directory)
    for line in build.stdout.splitlines():
        message = json.loads(line)
        if name := program(message):
            shutil.copy(message["executable"], directory / name)


def program(message: dict) -> str | None:
    """What the program of one of cargo's messages is to be called, if it has one."""
    if not message.get("executable"):
        return None
    target = message["target"]
    match target["kind"], message["profile"]["test"]:
        case ["test"], True:
            return target["name"]
        case ["lib"], True:
            return target["name"] + "-unit"
    return None


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
