"""The program."""
import argparse
import sys

from words.count import top
from words.show import lines


def arguments():
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="words", description="Counts words.")
    parser.add_argument("file", nargs="?", help="the text; stdin without it")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="how many words are shown (10)")
    return parser.parse_args()


def main():
    """Read, count, print."""
    options = arguments()
    if options.file is None:
        text = sys.stdin.buffer.read().decode("utf-8")
    else:
        with open(options.file, encoding="utf-8") as file:
            text = file.read()
    sys.stdout.buffer.write(lines(top(text, options.top)).encode("utf-8"))


if __name__ == "__main__":
    main()
