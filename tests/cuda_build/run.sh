#!/usr/bin/env bash
# Proves, without a GPU, that the CUDA build configures, compiles, links and imports: builds the wheel against a CUDA build
# of torch in an environment of its own and tries it. Too heavy for every CI run: 6 GB of disk, and nvcc for minutes.
# Needs a CUDA 13 toolkit: nvcc on PATH, or CUDA_HOME.
#   tests/cuda_build/run.sh [FOLDER]     FOLDER is emptied before and after (default: a new one in TMPDIR)
#   OMAR_CUDA_TORCH="torch==2.14.1"      what to build against
set -euo pipefail
cd "$(dirname "$0")/../.."

requirement=${OMAR_CUDA_TORCH:-torch==2.14.1}
archs=${TORCH_CUDA_ARCH_LIST:-8.0;9.0;12.0}
work=${1:-$(mktemp -d)}
step() { printf '[%4d s] == %s\n' "$SECONDS" "$*"; }

# The folder that nvcc belongs to, also where the one on PATH is a wrapper.
nvcc=${CUDA_HOME:+$CUDA_HOME/bin/}nvcc
toolkit=$("$nvcc" --dryrun -x cu /dev/null 2>&1 | sed -n 's/^#\$ TOP=//p')
toolkit=$(cd "$toolkit" && pwd)

rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
step "$requirement with CUDA, $("$nvcc" --version | grep -o 'release [0-9.]*'), architectures $archs"
python3 -m venv "$work/venv"
export PATH="$work/venv/bin:$PATH" PIP_DISABLE_PIP_VERSION_CHECK=1
pip install --quiet "$requirement" "cmake>=4" ninja scikit-build-core pybind11
site=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
python -c 'import torch; assert torch.version.cuda, f"{torch.__version__} is a CPU build"'

step "build the wheel"
export CUDA_HOME=$toolkit CUDA_TOOLKIT_ROOT_DIR=$toolkit CUDAToolkit_ROOT=$toolkit TORCH_CUDA_ARCH_LIST=$archs
export CPATH="$site/nvidia/cu13/include${CPATH:+:$CPATH}" # headers of the CUDA libraries that the toolkit may lack
numbers=${archs//./}
pip wheel --quiet --no-build-isolation --no-deps . -w "$work/dist" --config-settings=build-dir="$work/build" \
  --config-settings=cmake.define.OMAR_CUDA=ON --config-settings=cmake.define.CMAKE_CUDA_COMPILER="$toolkit/bin/nvcc" \
  --config-settings=cmake.define.CMAKE_CUDA_ARCHITECTURES="$numbers"

step "install it and try it"
pip install --quiet "$work"/dist/omar-*.whl
cp tests/cuda_build/check.py "$work/check.py"
(cd "$work" && python check.py "$numbers")
step "sizes: wheel $(du -h "$work"/dist/*.whl | cut -f1), libomar.so $(du -h "$site"/omar/lib/libomar.so* | cut -f1), environment $(du -sh "$work/venv" | cut -f1)"
