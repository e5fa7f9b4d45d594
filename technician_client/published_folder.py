"""Where this admin's releases lie until they are copied to the relay."""

from pathlib import Path

from technician_client.organisation import OrganisationFolder


def published_folder(organisation: OrganisationFolder, given: Path | None) -> Path:
    """The folder that was given, or the organisation's own."""
    return (given or organisation.folder / "release").absolute()
