"""The headers that every answer of the console carries."""

FIXED_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=(), serial=(), payment=()",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
WORKER_POLICY = "video-worker"


def content_security_policy(hosts: tuple[str, ...]) -> str:
    """The policy for pages served at these hosts (CSP level 3, Trusted Types).

    'wasm-unsafe-eval' allows WebAssembly, for the picture decoder, and no evaluation of text. The one Trusted
    Types policy gives the one address of the worker that decodes video (`screen/video_port.js`).
    """
    sockets = " ".join(f"ws://{host}" for host in hosts)
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self' 'wasm-unsafe-eval'",
            "worker-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob: data:",
            f"connect-src 'self' {sockets}",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            f"trusted-types {WORKER_POLICY}",
        )
    )
