#!/usr/bin/env bash
# Leave out of a virtual environment what no process of the API reads: slim.sh FOLDER. 240 MB become 150.
set -euo pipefail
packages=("$1"/lib/python3*/site-packages)
cd "${packages[0]}"
find . -depth -type d \( -name tests -o -name test \) -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.a' -o -name '*.c' -o -name '*.h' \) -delete
# Of plotly the dashboard has the script alone; __init__.py says where it is
find plotly -mindepth 1 ! -path plotly/__init__.py ! -path plotly/package_data ! -path plotly/package_data/plotly.min.js -delete
rm -rf ../../../share/jupyter
# Of fontTools matplotlib reads the names of glyphs; the rest is for PDF and PostScript, and pictures are PNG and SVG
find fontTools -mindepth 1 ! -path fontTools/__init__.py ! -path fontTools/agl.py ! -path 'fontTools/misc*' -delete
# Debug symbols. Not of packages that bring libraries of their own: auditwheel has rewritten these, and strip may break them
find . -name '*.so' -print0 | while IFS= read -r -d '' file; do
  package=${file#./}
  if [ ! -d "${package%%/*}.libs" ] && [[ $file != ./PIL/* && $file != *.libs/* ]]; then strip --strip-debug "$file"; fi
done
