"""The demo's jobs: one looks at a source file, the others do what jobs in production do on a bad day."""

import ast
import ctypes
import hashlib
import os
import socket
import sysconfig
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

_parsing = threading.Lock()
"""Python 3.11's parser counts its recursion for all threads together, and fails when two parse at a time."""
SKIPPED_FOLDERS = frozenset({"site-packages", "__pycache__"})


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What one source file holds."""

    path: str
    lines: int
    functions: int
    classes: int
    sha256: str


def standard_library() -> Iterator[str]:
    """Every Python source file of the running interpreter's standard library, its tests included."""
    for folder, subfolders, names in os.walk(sysconfig.get_path("stdlib")):
        subfolders[:] = sorted(set(subfolders) - SKIPPED_FOLDERS)
        yield from (os.path.join(folder, name) for name in sorted(names) if name.endswith(".py"))


def mute_parser() -> None:
    """Old test files make the parser warn of things that are no news here. Run once in each worker."""
    warnings.simplefilter("ignore")


def survey_file(path: str) -> SourceFacts:
    """Read, hash and parse one file; a file that is no Python raises what the parser says."""
    with open(path, "rb") as file:
        source = file.read()
    with _parsing:
        tree = ast.parse(source, path)
    functions = classes = 0
    for node in ast.walk(tree):
        functions += isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        classes += isinstance(node, ast.ClassDef)
    digest = hashlib.sha256(source).hexdigest()
    return SourceFacts(path, source.count(b"\n"), functions, classes, digest)


def ask_silent_server() -> bytes:
    """Wait for an answer that never comes, as from a server that took the connection and then hung."""
    client, server = socket.socketpair()
    with client, server:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        return client.recv(1024)


def crash() -> bytes:
    """Read from address zero, as a faulty C extension might: the process gets a real segmentation fault."""
    return ctypes.string_at(0)
