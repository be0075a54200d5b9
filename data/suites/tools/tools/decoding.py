"""A message room: intercepted messages and the steps that make them readable."""

import string

_MESSAGES = {
    1: ("caesar:3", "PHHW DW WKH ROG PLOO", 12),
    2: ("reverse", "NOON TA TFEL HCTAW", 7),
    3: ("morse", "-. --- / -- --- .-. . / - . .-", 21),
    4: ("caesar:13", "GUERR OBNGF NEEVIVAT", 30),
    5: ("pairs", "IHEDT EHR DEB XO", 16),
    6: ("codes", "70 73 83 72 / 77 65 82 75 69 84", 9),
    7: ("reverse+caesar:5", "YWFH JMY BTQQTK", 25),
    8: ("caesar:8", "JZQVO BEW TIUXA", 4),
    9: ("keyword:LEMON", "LPFOE TW ADRY", 18),
    10: ("caesar", "XLI KYIWX EVVMZIW XSRMKLX", 27),
    11: ("morse+reverse", "-.- -.-. --- .-.. -.-. / -.. . .-.", 11),
    12: ("none", "THE BAKER KNOWS", 2),
}
_MORSE = dict(zip(string.ascii_uppercase, (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. ... - ..- ...- .-- -..- -.-- --.."
).split()))
_LETTERS = {code: letter for letter, code in _MORSE.items()}
_WORDS = set(
    "THE GUEST ARRIVES TONIGHT MEET AT OLD MILL NO MORE TEA THREE BOATS ARRIVING FISH MARKET DOOR CLOCK RED".split()
)


def inbox() -> list[int]:
    """Numbers of all messages, in the order in which they came."""
    return list(_MESSAGES)


def read(number: int) -> dict:
    """Text of a message, how it was hidden (methods in the order to undo, joined by +) and the minute it came."""
    if number not in _MESSAGES:
        raise KeyError(f"no message {number}; numbers run from 1 to {len(_MESSAGES)}")
    method, text, minute = _MESSAGES[number]
    return {"method": method, "text": text, "minute": minute}


def shift_back(text: str, steps: int) -> str:
    """Move each letter A to Z back by `steps` places in the alphabet; other characters stay."""
    moved = []
    for character in text:
        if character in string.ascii_uppercase:
            moved.append(chr((ord(character) - 65 - steps) % 26 + 65))
        else:
            moved.append(character)
    return "".join(moved)


def reverse(text: str) -> str:
    """The text from its last character to its first."""
    return text[::-1]


def from_morse(text: str) -> str:
    """Read Morse code: one space between letters, ` / ` between words."""
    words = []
    for word in text.split(" / "):
        unknown = [code for code in word.split() if code not in _LETTERS]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no letter in Morse code")
        words.append("".join(_LETTERS[code] for code in word.split()))
    return " ".join(words)


def from_codes(text: str) -> str:
    """Read letters given as numbers (65 is A), separated by spaces; ` / ` stands between words."""
    return " ".join("".join(chr(int(code)) for code in word.split()) for word in text.split(" / "))


def swap_pairs(text: str) -> str:
    """Swap the characters of each pair: 1st and 2nd, 3rd and 4th, ... An odd last one stays."""
    characters = list(text)
    for at in range(0, len(characters) - 1, 2):
        characters[at], characters[at + 1] = characters[at + 1], characters[at]
    return "".join(characters)


def with_keyword(text: str, keyword: str) -> str:
    """Undo a keyword cipher: each letter moves back by the place of the next keyword letter (A is 0); spaces stay."""
    if not keyword.isalpha():
        raise ValueError("the keyword must be letters only")
    plain, at = [], 0
    for character in text:
        if character in string.ascii_uppercase:
            plain.append(shift_back(character, ord(keyword.upper()[at % len(keyword)]) - 65))
            at += 1
        else:
            plain.append(character)
    return "".join(plain)


def known_words(text: str) -> int:
    """How many of the words in the text stand in the dictionary of this room."""
    return sum(word in _WORDS for word in text.split())
