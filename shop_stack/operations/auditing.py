"""Operations' way to the auditor: one audit at a time, in a process of its own, whose memory goes with it."""

import os
import subprocess
import sys
import threading

import msgspec

from shop_stack.errors import ActionRefused, ShopfloorError
from shop_stack.operations.audit import Report
from shop_stack.settings import Settings, to_environment

TIMEOUT_S = 110.0
_report = msgspec.json.Decoder(Report)


class AuditFailed(ShopfloorError):
    """The audit came to no answer; the message is the last line that it said."""


class Auditing:
    """Audits one stack. Callable from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turn = threading.Lock()

    def report(self, *, strict: bool = False) -> Report:
        """Audit now. Raises ActionRefused while another audit is under way, AuditFailed when it came to no answer."""
        if not self._turn.acquire(blocking=False):
            raise ActionRefused("an audit is under way already; ask again when it is done")
        try:
            return _report.decode(self._run(["--strict"] if strict else []))
        finally:
            self._turn.release()

    def _run(self, words: list[str]) -> bytes:
        command = [sys.executable, "-m", "shop_stack.operations.audit_home", *words]
        environment = {**os.environ, **to_environment(self._settings)}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AuditFailed(f"the audit came to no answer ({error}); run: shopfloor audit") from error
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing was said"]
            raise AuditFailed(f"the audit came to no answer: {said[-1]}")
        return done.stdout
