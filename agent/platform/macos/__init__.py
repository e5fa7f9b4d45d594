"""macOS: ScreenCaptureKit through pyobjc."""
