import sys

from anagrams.find import find

if len(sys.argv) != 2:
    print("usage: anagrams WORD", file=sys.stderr)
    sys.exit(2)
found = find(sys.argv[1])
for word in found:
    print(word)
sys.exit(0 if found else 1)
