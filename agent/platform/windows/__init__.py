"""Windows: Desktop Duplication through dxcam."""
