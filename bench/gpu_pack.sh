#!/usr/bin/env bash
# Packs all that bench/gpu.sh needs into target/gpu, for a machine with a GPU and Python but no cargo and no network:
#
#     bash bench/gpu_pack.sh
#
# Builds with the feature `cuda` (and `emulation`, which the kernels' tests need), so it wants a CUDA toolkit or the pip
# that scripts/cuda-toolkit.sh installs one with. Copy the folder there, without bin/, and run `bash bench/gpu.sh` in it.
# `--cpu` packs a build without CUDA, for `bench/gpu.sh --rehearse`.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=target/gpu
features=(codeact-ops/cuda codeact-ops/emulation codeact-model/cuda codeact-train/cuda codeact-serve/cuda)
if [ "${1:-}" = --cpu ]; then
    features=(codeact-ops/emulation)
else
    exports=$(scripts/cuda-toolkit.sh) && eval "$exports"
fi
readonly BYTES_MAX=$((64 << 20))

# Name and path of every executable that cargo reports, one a line.
executables() {
    python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message["reason"] == "compiler-artifact" and message.get("executable"):
        print(message["target"]["name"], message["executable"])'
}

build=(--release --features "$(IFS=,; echo "${features[*]}")" --message-format=json)
packages=(--package codeact-ops --package codeact-model --package codeact-train --package codeact-serve)
rm -rf "$folder"
mkdir -p "$folder/bin" "$folder/bench" "$folder/tests"
{
    cargo test "${build[@]}" "${packages[@]}" --no-run --test kernels --test golden --test equivalence --test card --test card_serving
    # Only the engine's: those of other crates have the same name.
    cargo test "${build[@]}" "${packages[@]}" --package codeact-engine --no-run --test all |
        grep 'crates/engine/tests/all/main.rs'
    cargo build "${build[@]}" "${packages[@]}" --example train_step --example serve_step --bin codeact-train --bin codeact-serve
} | executables | while read -r name path; do
    strip --strip-all -o "$folder/bin/$name" "$path"
done
for name in kernels golden equivalence card card_serving all train_step serve_step codeact-train codeact-serve; do
    [ -x "$folder/bin/$name" ] || { echo "error: cargo built no \`$name\`" >&2; exit 1; }
done

cp bench/*.py bench/gpu.sh "$folder/bench/"
cp -r bench/shapes "$folder/bench/"
cp -r tests/golden "$folder/tests/"
cp -r configs "$folder/"
commit=$(git rev-parse --short HEAD) changed=$(git status --porcelain --untracked-files=no) \
    rustc=$(rustc --version) built_with="features ${features[*]}, CUDA_COMPUTE_CAP ${CUDA_COMPUTE_CAP:-unset}" \
    python3 -c '
import json, os
build = {name: os.environ[name] for name in ("commit", "rustc", "built_with")}
print(json.dumps({**build, "changed": bool(os.environ["changed"])}))' >"$folder/build.json"
tar --create --directory "$folder/bin" . | xz --threads=0 >"$folder/bin.tar.xz"

bytes=$(du --bytes --summarize --exclude=bin "$folder" | cut --fields=1)
echo "packed $folder: $((bytes >> 20)) MiB without bin/, of which bin.tar.xz $(($(stat --format=%s "$folder/bin.tar.xz") >> 20))"
if [ "$bytes" -gt "$BYTES_MAX" ]; then
    echo "error: more than $((BYTES_MAX >> 20)) MiB" >&2
    exit 1
fi
