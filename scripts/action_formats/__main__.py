"""`python3 -m scripts.action_formats`."""

from .generate import main

main()
