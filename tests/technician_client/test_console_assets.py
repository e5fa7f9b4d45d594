"""What the page is made of that others wrote."""

import hashlib
from pathlib import Path

from technician_client.console.assets import read_assets

VENDOR = Path(__file__).parents[2] / "technician_client" / "console" / "static" / "vendor"
ZSTD_SHA256 = "793b767467d8effccc43e8198c854f587835493a748512fa4352837a96fd1060"


def test_the_zstd_decoder_is_the_file_that_its_readme_describes() -> None:
    served = read_assets()["vendor/zstd/zstd.wasm"].content
    assert hashlib.sha256(served).hexdigest() == ZSTD_SHA256
    readme = (VENDOR / "zstd" / "README.md").read_text("utf-8")
    assert ZSTD_SHA256 in readme
    assert f"{len(served):,} bytes" in readme


def test_every_folder_of_others_has_its_licence_and_its_origin() -> None:
    folders = [path for path in VENDOR.iterdir() if path.is_dir()]
    assert folders
    for folder in folders:
        assert (folder / "LICENSE").stat().st_size > 0
        assert (folder / "README.md").stat().st_size > 0


def test_documents_are_not_served() -> None:
    assert not [name for name in read_assets() if name.endswith((".md", "LICENSE"))]
