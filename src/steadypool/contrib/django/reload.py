"""``work --reload``: in development, another worker whenever a file of the project changes.

This process watches, and the worker is a child of it that is drained before the next one starts: so a job that runs is
not lost, nor run by code that is half new. What has changed is found as Django's own server finds it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from types import FrameType
from typing import Any

from django.apps import apps
from django.utils import autoreload

WORDS = frozenset({"--reload", "--autoreload"})
"""How it is asked for."""


def run_with_reload() -> int:
    """Work by a child with the arguments of this process, until it ends or this process is asked to; its exit code."""
    command = [word for word in autoreload.get_child_arguments() if word not in WORDS]
    return _Reloader(command).run()


class _Reloader:
    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._has_changed = False
        self._is_ending = False
        self._child: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        autoreload.file_changed.connect(self._changed)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)
        watched = autoreload.get_reloader()
        for config in apps.get_app_configs():
            watched.watch_dir(config.path, "**/*.py")
        # The first look comes before the worker reads the files: what changes from then on is noticed.
        for _ in watched.tick():
            if self._child is None or (self._has_changed and not self._is_ending):
                self._has_changed = False
                self._restart()
            code = 0 if self._child is None else self._child.poll()
            if code is not None and (code == 0 or self._is_ending):
                return code
        raise AssertionError("files are watched without an end")

    def _start(self) -> subprocess.Popen[bytes]:
        # In a group of its own: Ctrl-C is passed on to it once, by this process.
        return subprocess.Popen(self._command, process_group=0)

    def _restart(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            self._child.wait()
        if not self._is_ending:
            self._child = self._start()

    def _changed(self, file_path: Any, **_: Any) -> bool:
        sys.stderr.write(f"{file_path} has changed: the worker ends, and another one starts\n")
        self._has_changed = True
        return True  # for Django: it need not do anything

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        self._is_ending = True
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)
