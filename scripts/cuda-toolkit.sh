#!/usr/bin/env bash
# Finds or installs the CUDA toolkit that the feature `cuda` is built with, and prints what to export:
#
#     exports=$(scripts/cuda-toolkit.sh) && eval "$exports"
#
# An installed toolkit is used as it is. Without one, NVIDIA's wheels from PyPI go into a folder, `target/cuda-toolkit`
# unless another is given: 0.5 GB to fetch, 1.2 GB on disk, no root, nothing outside of the folder. Only building needs
# this; running needs NVIDIA's driver and the libraries.
set -euo pipefail
# A pip whose settings say to install for the user refuses `--target`.
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# What the kernels (sm_90a, C++17) and the bindings of cudarc were made for.
readonly OLDEST=12.4 NEWEST=13.4
requirements=$(cd "$(dirname "$0")" && pwd)/cuda-toolkit.txt
readonly requirements

say() { printf '%s\n' "$*" >&2; }

# What is wrong, and the way out.
fail() {
    say "error: $1"
    say "hint: $2"
    exit 1
}

# Is version $1 at most version $2?
at_most() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort --version-sort | head --lines=1)" = "$1" ]; }

# The release that the nvcc at $1 says it is of, as `13.0`.
release() { "$1" --version 2>/dev/null | sed --quiet 's/.*release \([0-9.]*\),.*/\1/p'; }

# The folder below toolkit $1 that holds its libraries, if all that are linked to are there.
library_folder() {
    local folder name
    for folder in "$1/lib64" "$1/targets/$(uname -m)-linux/lib" "$1/lib" "$1/lib/$(uname -m)-linux-gnu"; do
        for name in cudart cublas cublasLt curand nvrtc; do
            [ -e "$folder/lib$name.so" ] || continue 2
        done
        printf '%s' "$folder"
        return
    done
    return 1
}

# Prints the exports for the toolkit at $1, its libraries in $2. The driver's library is not in $2: the one of this
# machine must be found at run time, and no stub of it.
print_exports() {
    local home libraries
    home=$(printf '%q' "$1")
    libraries=$(printf '%q' "$2")
    # candle asks the card of this machine which code to make; without one it has to be told.
    cat <<EXPORTS
export CUDA_HOME=$home CUDA_PATH=$home PATH=$home/bin:"\$PATH"
export LD_LIBRARY_PATH=$libraries"\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
export CUDA_COMPUTE_CAP="\${CUDA_COMPUTE_CAP:-80}"
EXPORTS
}

# Prints the exports for an installed toolkit that can be used, else says why one that is there cannot.
use_installed() {
    local home nvcc version folder
    for home in "${CUDA_HOME:-}" "${CUDA_PATH:-}" "$(nvcc_folder)" /usr/local/cuda; do
        nvcc=$home/bin/nvcc
        [ -n "$home" ] && [ -x "$nvcc" ] || continue
        version=$(release "$nvcc") || version=
        if [ -z "$version" ]; then
            say "passed over: \`$nvcc\` does not tell its version"
        elif ! at_most "$OLDEST" "$version" || ! at_most "$version" "$NEWEST"; then
            say "passed over: the toolkit in \`$home\` is $version, wanted is $OLDEST to $NEWEST"
        elif ! folder=$(library_folder "$home"); then
            say "passed over: the toolkit in \`$home\` lacks libraries (cudart, cublas, curand or nvrtc)"
        else
            say "using CUDA $version in \`$home\`"
            print_exports "$home" "$folder"
            return
        fi
    done
    return 1
}

# The toolkit of the nvcc on the PATH, or nothing.
nvcc_folder() {
    local nvcc
    nvcc=$(command -v nvcc) || return 0
    dirname "$(dirname "$(readlink --canonicalize "$nvcc")")"
}

# Sets `pip`, the command that installs; makes a virtual environment in $1 where Python comes without pip.
find_pip() {
    command -v python3 >/dev/null || fail "no \`python3\` on the PATH, and no CUDA toolkit" \
        "install Python 3.10 or newer with pip, or a CUDA toolkit, and set CUDA_HOME to it"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "\`python3\` is $(python3 --version 2>&1 | cut --delimiter=' ' --fields=2), and no CUDA toolkit is installed" \
            "put Python 3.10 or newer first on the PATH, or set CUDA_HOME to a CUDA toolkit"
    pip=(python3 -m pip)
    "${pip[@]}" --version >/dev/null 2>&1 && return
    python3 -m venv "$1" >/dev/null 2>&1 || fail "\`python3\` has neither pip nor venv, and no CUDA toolkit is installed" \
        "install one of them (Debian: apt-get install python3-pip), or set CUDA_HOME to a CUDA toolkit"
    pip=("$1/bin/python" -m pip)
}

# Installs the wheels into $1.
install_wheels() {
    find_pip "$1/environment"
    mkdir "$1/temporary"
    say "no CUDA toolkit is installed: getting NVIDIA's wheels from PyPI (0.5 GB)"
    TMPDIR=$1/temporary "${pip[@]}" install --quiet --no-deps --require-hashes --only-binary :all: \
        --target "$1/wheels" --requirement "$requirements" >&2 ||
        fail "pip did not install what \`$requirements\` lists; its reason is above" \
            "behind a mirror set PIP_INDEX_URL, or set CUDA_HOME to a CUDA toolkit"
}

# Gives the folder of wheels at $1 the form of an installed toolkit.
arrange() {
    local library
    ln --symbolic lib "$1/lib64"
    for library in "$1"/lib/*.so.*; do
        library=$(basename "$library")
        ln --symbolic --force "$library" "$1/lib/${library%%.so.*}.so"
    done
    mkdir "$1/lib/stubs"
    make_stub "$1"
}

# The driver's library is only on machines that have a card. For the linker this makes one, in which every function
# returns CUDA_ERROR_STUB_LIBRARY (34), as NVIDIA's own stub does.
make_stub() {
    local stubs=$1/lib/stubs
    cc -E -P -I "$1/include" "$1/include/cuda.h" | grep --only-matching --extended-regexp '\bcu[A-Z]\w*\(' |
        tr --delete '(' | sort --unique | sed 's/.*/int &(void) { return 34; }/' >"$stubs/libcuda.c"
    cc -shared -fPIC -w -Wl,-soname,libcuda.so.1 -o "$stubs/libcuda.so.1" "$stubs/libcuda.c"
    ln --symbolic libcuda.so.1 "$stubs/libcuda.so"
}

# Installs into $1 unless that is done; the folder appears whole or not at all.
install() {
    local target=$1
    cmp --silent "$requirements" "$target/requirements.txt" && return
    if [ -e "$target" ] && [ ! -e "$target/requirements.txt" ]; then
        fail "\`$target\` exists and was not made by this script" "remove it or give another folder"
    fi
    command -v cc >/dev/null || fail "no C compiler \`cc\` on the PATH" "install one (Debian: apt-get install g++)"
    mkdir --parents "$(dirname "$target")"
    partial=$target.partial.$$
    trap 'rm -rf "$partial"' EXIT
    mkdir "$partial"
    install_wheels "$partial"
    local made=$partial/wheels/nvidia/cu13
    arrange "$made"
    cp "$requirements" "$made/requirements.txt"
    rm -rf "$target"
    # Where another run was faster, its folder is as good.
    mv --no-target-directory "$made" "$target" 2>/dev/null || cmp --silent "$requirements" "$target/requirements.txt" ||
        fail "\`$target\` could not be put in place" "remove it or give another folder"
}

main() {
    [ $# -le 1 ] || fail "unexpected argument \`$2\`" "usage: scripts/cuda-toolkit.sh [FOLDER]"
    use_installed && return
    local target
    target=$(realpath --canonicalize-missing "${1:-$(dirname "$requirements")/../target/cuda-toolkit}")
    install "$target"
    say "using CUDA $(release "$target/bin/nvcc") in \`$target\`"
    print_exports "$target" "$target/lib"
}

main "$@"
