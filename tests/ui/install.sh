#!/usr/bin/env bash
# What the browser tests need: the pinned packages of package-lock.json, and Debian's chromium where there is none.
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
