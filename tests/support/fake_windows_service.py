"""pywin32's `servicemanager` and `win32serviceutil.ServiceFramework`, as its sources have them (312).

As there, the service is made and run in a thread of its own while StartServiceCtrlDispatcher waits in the
first one; controls come in a third. What `SvcRun` raises ends it with an error, else it has stopped well.
"""

import threading
from typing import Any

from agent.platform.windows.service_host import ServiceBindings
from protocol.errors import SupportError

STOP_PENDING, RUNNING, STOPPED = 3, 4, 1


class FakeWindows:
    """The service control manager. `reported` is what it was told; `failed` whether the service did."""

    def __init__(self) -> None:
        self.reported: list[int] = []
        self.logged: list[str] = []
        self.source = ""
        self.failed = False
        self.is_running = threading.Event()
        self._service: Any = None
        self._kind: Any = None

    def bindings(self) -> ServiceBindings:
        """What the service host takes from pywin32."""
        windows = self

        class ServiceFramework:
            def __init__(self, args: list[str]) -> None:
                assert args == [self._svc_name_]

            def ReportServiceStatus(self, status: int, _wait_ms: int = 5000) -> None:
                windows.reported.append(status)

            def SvcRun(self) -> None:
                self.ReportServiceStatus(RUNNING)
                windows.is_running.set()
                self.SvcDoRun()
                self.ReportServiceStatus(STOP_PENDING)

        return ServiceBindings(ServiceFramework, self, STOP_PENDING)

    def Initialize(self, source: str, file: None) -> None:
        """Names the source of events."""
        self.source = source

    def PrepareToHostSingle(self, kind: Any) -> None:
        """Takes the class."""
        self._kind = kind

    def LogErrorMsg(self, text: str) -> None:
        """Writes to the event log."""
        self.logged.append(text)

    def StartServiceCtrlDispatcher(self) -> None:
        """Returns when the service has stopped."""

        def run() -> None:
            self._service = self._kind([self.source])
            try:
                self._service.SvcRun()
            except SupportError:
                self.failed = True
            self.reported.append(STOPPED)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    def control(self, name: str) -> None:
        """What Windows tells a running service: "SvcStop" or "SvcShutdown"."""
        self.is_running.wait(5)
        getattr(self._service, name)()
