"""The agent as a Windows service, through pywin32: Windows starts this process and tells it when to stop.

`servicemanager` connects the process with Windows (StartServiceCtrlDispatcher of the Windows API), so that no
`pythonservice.exe` is needed, which does not know a Python environment's packages. Everything runs in the
thread that Windows made for the service; the order to stop comes in another one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from agent.stop_order import StopOrder
from protocol.errors import BackendUnavailable, ErrorCode, SupportError

STOP_WAIT_MS: Final = 20_000
"""How long Windows is asked to wait for live sessions to end."""


@dataclass(frozen=True, slots=True)
class ServiceBindings:
    """pywin32: `win32serviceutil.ServiceFramework`, the module `servicemanager`, SERVICE_STOP_PENDING."""

    framework: Any
    manager: Any
    stop_pending: int


def load_service_bindings() -> ServiceBindings:
    """Imports them.

    Raises:
        BackendUnavailable: E_LOCAL_NONE, they are not installed, or this is not Windows.
    """
    try:
        framework = import_module("win32serviceutil").ServiceFramework
        return ServiceBindings(
            framework, import_module("servicemanager"), import_module("win32service").SERVICE_STOP_PENDING
        )
    except (ImportError, AttributeError) as exc:
        detail = f"Windows' services cannot be reached ({exc}); install the agent's requirements"
        raise BackendUnavailable(detail, code=ErrorCode.E_LOCAL_NONE) from None


def host_service(name: str, run: Callable[[StopOrder], None], bindings: ServiceBindings) -> None:
    """Be the service of this name until Windows, or the agent itself, ends it. Windows must have started us.

    What `run` raises is written to the event log, and Windows is told that the service failed.
    """
    order = StopOrder()

    def stop(service: Any) -> None:
        service.ReportServiceStatus(bindings.stop_pending, STOP_WAIT_MS)
        order.give()

    def do_run(_service: Any) -> None:
        try:
            run(order)
        except SupportError as exc:
            bindings.manager.LogErrorMsg(f"{exc.text.sentence} {exc.text.remedy} ({exc.code}: {exc.detail})")
            raise  # pywin32 reports a stopped service with an error then

    members = {
        "_svc_name_": name,
        "_svc_display_name_": name,
        "SvcStop": stop,
        "SvcShutdown": stop,
        "SvcDoRun": do_run,
    }
    bindings.manager.Initialize(name, None)
    bindings.manager.PrepareToHostSingle(type("AgentService", (bindings.framework,), members))
    bindings.manager.StartServiceCtrlDispatcher()
