#!/usr/bin/env bash
# The web UI in a browser, against the real server with a scripted model, and the pages about runs, results and
# flywheels. Installs what it needs, see install.sh.
#
#   tests/ui/run.sh                 all tests
#   tests/ui/run.sh history         those of history.test.mjs
#   CODEACT_SCREENSHOTS=1 tests/ui/run.sh looks    writes docs/*.png as well
set -euo pipefail
cd "$(dirname "$0")/../.."

tests/ui/install.sh
cargo build --release --bins

files=(tests/ui/*"${1:-}"*.test.mjs)
node --test --test-concurrency=1 "${files[@]}"
