"""`python3 -m scripts.flywheel_data`."""

from .generate import main

main()
