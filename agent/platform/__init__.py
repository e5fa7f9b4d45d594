"""What differs between operating systems. `interfaces` says what is offered, `select` alone asks where we are."""
