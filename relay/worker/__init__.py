"""Session workers: nothing but pairing two sockets and forwarding opaque messages between them."""
