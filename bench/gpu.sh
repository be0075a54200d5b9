#!/usr/bin/env bash
# Checks and measures training and serving on this machine's GPU, in one command and with a budget of 8 minutes:
#
#     bash bench/gpu.sh [OUT_DIR]
#
# Needs what bench/gpu_pack.sh packed (or, in a checkout, built), an NVIDIA driver, and a Python with torch, transformers
# and peft (`python3`, or $PYTHON). No network, no cargo. BUDGET_S is the time in seconds (480); what did not fit, or was
# cut off, is made up by the next call with the same OUT_DIR. `--rehearse` runs every part small, on the CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-python3}" bench/gpu_run.py "$@"
