"""What differs between operating systems; `select` alone asks where we are."""
