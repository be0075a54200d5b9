#!/usr/bin/env bash
# The web UI in a browser, against the real server with a scripted model, and the pages about runs, results and
# flywheels. Installs what it needs: the pinned packages of package-lock.json, and Debian's chromium where there is none.
#
#   tests/ui/run.sh                 all tests
#   tests/ui/run.sh history         those of history.test.mjs
#   CODEACT_SCREENSHOTS=1 tests/ui/run.sh looks    writes docs/*.png as well
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v npm > /dev/null; then
    echo "error: there is no npm; the browser tests need Node.js 20 or newer" >&2
    exit 1
fi
mkdir -p target
if ! command -v chromium > /dev/null; then
    echo "installing chromium"
    (apt-get update && apt-get install --yes --no-install-recommends chromium) > target/chromium-install.log 2>&1 || {
        tail -5 target/chromium-install.log
        echo "error: chromium is not here and could not be installed" >&2
        exit 1
    }
fi
npm ci --prefix tests/ui --silent
cargo build --release --bins

files=(tests/ui/*"${1:-}"*.test.mjs)
node --test --test-concurrency=1 "${files[@]}"
