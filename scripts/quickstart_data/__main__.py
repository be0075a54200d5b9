"""`python3 -m scripts.quickstart_data`."""

from .generate import main

main()
