"""One line of what `alongside-agent doctor` reports."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class CheckState(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report; `remedy` is "" when nothing has to be done."""

    name: str
    state: CheckState
    sentence: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """For `--json`."""
        return {key: str(value) for key, value in asdict(self).items()}
