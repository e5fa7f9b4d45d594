"""`alongside`: the technician's and the admin's command line; `main` is its entry point."""

from technician_client.cli.program import main as main
