"""The person's OS session as systemd-logind sees it, over D-Bus."""
