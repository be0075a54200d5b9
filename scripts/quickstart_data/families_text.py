"""Families about words and sentences."""

from collections import Counter

from .family import Family, Plain, slips
from .pools import ANAGRAMS, LETTERS, NAMES, PALINDROMES, WORDS, choice, integer, phrase, plain, sentence, text, word, words


def _letter_and_text(rng):
    value = text()(rng)
    return {"text": value, "letter": rng.choice(LETTERS if rng.random() < 0.5 else value.replace(" ", ""))}


def _mirror_word(rng):
    return {"text": rng.choice(PALINDROMES if rng.random() < 0.5 else WORDS)}


def _replace(rng):
    value = sentence()(rng)
    return {"text": value, "old": rng.choice(value.split()[1:]), "new": rng.choice(WORDS)}


def _repeated_word(rng):
    pool = rng.sample(WORDS, 3)
    chosen = [rng.choice(pool) for _ in range(rng.randint(5, 9))]
    return {"text": " ".join(chosen), "word": rng.choice(chosen)}


def _two_words(rng):
    if rng.random() < 0.5:
        first, second = rng.choice(ANAGRAMS)
    else:
        first, second = rng.sample(WORDS, 2)
    return {"a": first, "b": second}


def _caesar(text, shift):
    return "".join(chr((ord(letter) - 97 + shift) % 26 + 97) for letter in text)


def _longest(rng):
    while True:
        chosen = rng.sample(WORDS, rng.randint(3, 6))
        if sum(len(w) == max(map(len, chosen)) for w in chosen) == 1:
            return {"text": " ".join(chosen)}


def _top_letter(rng):
    while True:
        value = "".join(rng.sample(WORDS, 1))
        top = Counter(value).most_common(2)
        if len(top) == 2 and top[0][1] > top[1][1]:
            return {"text": value}


def _nth_word(rng):
    chosen = rng.sample(WORDS, rng.randint(4, 8))
    return {"text": " ".join(chosen), "n": rng.randint(1, len(chosen))}


def _start(rng):
    value = rng.choice(WORDS)
    return {"text": value, "part": value[:2] if rng.random() < 0.5 else rng.choice(WORDS)[:2]}


FAMILIES = [
    Family(
        "count_letter", _letter_and_text, lambda text, letter: sum(c == letter for c in text),
        ["How many times does the letter $letter appear in $text?", "Count the letter $letter in $text.",
         "How many $letter are in $text?",
         "How often does $letter occur in $text?", "Look at $text. What is the number of letters $letter?",
         "Number of $letter in the text $text?",
         "My sign says $text. How many letters $letter do I need to print it?"],
        ["I will count the letter."], ["text = $text\nprint(text.count($letter))"],
        held=["I wrote $text on a card. Tell me how frequently $letter shows up."],
        slips=slips(("text = $text\nprint(count(text, $letter))",
                     "There is no function `count`. It is a method of the text."))),
    Family(
        "reverse_text", {"text": text()}, lambda text: "".join(reversed(text)),
        ["Reverse the text $text.", "Write $text backwards.", "Spell $text from the last letter to the first.",
         "What is $text in reverse?",
         "Turn the string $text around.", "Give me $text read from right to left.",
         "Reverse the characters in $text."],
        ["I will reverse the text."], ["text = $text\nprint(text[::-1])"],
        held=["How would $text look in a mirror, last character first?",
              "Flip $text so that it starts with its final letter."],
        slips=slips(("text = $text\nprint(text.reverse())", "A text has no method `reverse`. I will use a slice."))),
    Family(
        "upper_case", {"text": text()},
        lambda text: "".join(chr(ord(c) - 32) if "a" <= c <= "z" else c for c in text),
        ["Write $text in capital letters.", "Convert $text to upper case.", "Make $text uppercase.",
         "Turn all letters of $text into capitals.",
         "I want to shout $text. Give it in big letters.", "Change $text to all caps."],
        ["I will turn the text into upper case."], ["text = $text\nprint(text.upper())"],
        held=["Please put $text in block capitals."],
        slips=slips(("text = $text\nprint(upper(text))",
                     "There is no function `upper`. It is a method of the text."))),
    Family(
        "lower_case", lambda rng: {"text": text()(rng).title() if rng.random() < 0.5 else text()(rng).upper()},
        lambda text: text.casefold(),
        ["Convert $text to lower case.", "Write $text in small letters.", "Make $text lowercase.",
         "Remove the capitals from $text by making them small.",
         "Change every letter of $text to lowercase."],
        ["I will turn the text into lower case."], ["text = $text\nprint(text.lower())"]),
    Family(
        "count_vowels", {"text": text()}, lambda text: sum(text.count(v) for v in "aeiou"),
        ["How many vowels are in $text?", "Count the vowels in $text.", "Number of vowels in $text?",
         "Find how many of the letters a, e, i, o, u are in $text.",
         "In $text, how many characters are vowels?", "Tell me the vowel count of $text."],
        ["I will count the vowels in the text."], ["text = $text\nprint(sum(1 for c in text if c in \"aeiou\"))",
                                                   "text = $text\nprint(len([c for c in text if c in \"aeiou\"]))"],
        held=["My sister says $text has many vowels. How many exactly?"],
        slips=slips(("text = $text\nprint(sum(1 for c in text if c in vowels))",
                     "The name `vowels` is not defined. I will write the vowels in the code."))),
    Family(
        "is_palindrome", _mirror_word, lambda text: list(text) == list(reversed(text)),
        ["Is $text a palindrome? Answer True or False.", "Does $text read the same backwards? True or False.",
         "Check if $text is a palindrome (True or False).",
         "True or False: $text is the same from both sides.", "Test whether $text equals its reverse."],
        ["I will compare the text with its reverse."], ["text = $text\nprint(text == text[::-1])"],
        held=["If I read $text from right to left, do I get the same word? True or False."]),
    Family(
        "replace_word", _replace, lambda text, old, new: new.join(text.split(old)),
        ["Replace $old by $new in $text.", "In $text, change $old to $new.",
         "Take $text and put $new where $old stands.",
         "Swap the word $old for $new in the sentence $text.", "Rewrite $text with $new instead of $old."],
        ["I will replace the word."], ["text = $text\nprint(text.replace($old, $new))"],
        slips=slips(("text = $text\nprint(text.replace($old))",
                     "`replace` needs the new word too. I will give both."))),
    Family(
        "remove_letter", _letter_and_text, lambda text, letter: "".join(c for c in text if c != letter),
        ["Remove every $letter from $text.", "Delete the letter $letter in $text.",
         "Write $text without the letter $letter.",
         "Drop all $letter from $text.", "My keyboard has no $letter. How do I type $text?"],
        ["I will remove the letter."], ["text = $text\nprint(text.replace($letter, \"\"))"],
        held=["Erase each $letter that you see in $text."]),
    Family(
        "remove_spaces", {"text": phrase(2, 5)}, lambda text: "".join(text.split()),
        ["Remove the spaces from $text.", "Write $text as one word without spaces.",
         "Join the words of $text together with nothing between.",
         "Delete all blanks in $text."],
        ["I will remove the spaces."], ["text = $text\nprint(text.replace(\" \", \"\"))"]),
    Family(
        "count_words", {"text": phrase(3, 11)}, lambda text: text.count(" ") + 1,
        ["How many words are in $text?", "Count the words in $text.", "What is the word count of $text?",
         "Number of words: $text",
         "I wrote $text. How many words is that?", "Split $text into words and count them."],
        ["I will split the text and count the words."], ["text = $text\nprint(len(text.split()))"],
        held=["A message costs one coin per word. How many coins for $text?"],
        slips=slips(("text = $text\nprint(text.split().length)", "A list has no `length`. I will use `len`."))),
    Family(
        "text_length", {"text": text()}, lambda text: sum(1 for _ in text),
        ["How long is the text $text?", "How many characters does $text have?",
         "Count the characters in $text, spaces included.", "What is the length of $text?",
         "Number of characters in $text?"],
        ["I will use `len`."], ["text = $text\nprint(len(text))"],
        slips=slips(("text = $text\nprint(text.length())", "A text has no method `length`. I will use `len`."),
                    ("text = $text\nprint(text.len())",
                     "A text has no method `len`. I will use the function `len`."))),
    Family(
        "longest_word", _longest, lambda text: sorted(text.split(), key=len)[-1],
        ["What is the longest word in $text?", "Find the longest word of $text.",
         "Which word in $text has the most letters?",
         "Give the word with the greatest length in $text."],
        ["I will take the word with the greatest length."], ["text = $text\nprint(max(text.split(), key=len))"],
        held=["Out of the words $text, pick the one that takes most space to write."],
        slips=slips(("text = $text\nprint(longest(text.split()))",
                     "There is no function `longest`. I will use `max` with `key=len`."))),
    Family(
        "sort_words", {"words": words(4, 7)}, lambda words: sorted(words),
        ["Sort these words alphabetically and give a list: $words", "Put $words in alphabetical order. Give a list.",
         "Order the words $words from a to z as a list.",
         "Alphabetize: $words. Answer with a list.",
         "Which order do the words $words have in a dictionary? Give a list."],
        ["I will sort the words."], ["words = $words\nprint(sorted(words))"],
        held=["Arrange the names $words as in a phone book. Give a list."],
        slips=slips(("words = $words\nprint(words.sorted())",
                     "A list has no method `sorted`. I will use the function."))),
    Family(
        "first_alphabetical", {"words": words(4, 7)}, lambda words: sorted(words)[0],
        ["Which of the words $words comes first in the alphabet?", "Give the alphabetically first word of $words.",
         "From $words, which word is first in a dictionary?"],
        ["I will take the smallest word."], ["words = $words\nprint(min(words))"]),
    Family(
        "is_anagram", _two_words, lambda a, b: sorted(a) == sorted(b),
        ["Are $a and $b anagrams? Answer True or False.", "Do $a and $b use the same letters? True or False.",
         "Check if $a is an anagram of $b.",
         "True or False: the letters of $a can be arranged to $b.",
         "Can I build $b from exactly the letters of $a? True or False."],
        ["I will compare the sorted letters."], ["print(sorted($a) == sorted($b))"],
        slips=slips(("print($a.sort() == $b.sort())", "A text has no method `sort`. I will use `sorted`."))),
    Family(
        "caesar_shift", {"text": word(), "shift": integer(1, 12)}, _caesar,
        ["Shift every letter of $text by $shift in the alphabet.", "Encrypt $text with a Caesar shift of $shift.",
         "Caesar cipher: move $text forward by $shift.",
         "Encode $text by replacing each letter with the one $shift places later."],
        ["I will shift each letter."],
        ["text = $text\nprint(\"\".join(chr((ord(c) - 97 + $shift) % 26 + 97) for c in text))"],
        slips=slips(("text = $text\nprint(\"\".join(chr((c - 97 + $shift) % 26 + 97) for c in text))",
                     "A letter is not a number. I will use `ord`."))),
    Family(
        "initials", lambda rng: {"text": Plain(" ".join(rng.sample(NAMES, rng.choice([2, 3, 4]))))},
        lambda text: "".join(c for c in text if c.isupper()),
        ["What are the initials of $text?", "Give the initials of the name $text.",
         "Take the first letter of each word in $text and join them.",
         "Abbreviate $text to its first letters.", "Which initials does $text have?"],
        ["I will join the first letters."], ["name = $text\nprint(\"\".join(w[0] for w in name.split()))"],
        held=["How would $text sign with one letter per name?"]),
    Family(
        "count_word", _repeated_word, lambda text, word: sum(w == word for w in text.split()),
        ["How many times does the word $word occur in $text?", "Count the word $word in $text.",
         "In $text, how often is $word written?",
         "Number of times $word is in $text?"],
        ["I will count the word in the list of words."], ["words = $text.split()\nprint(words.count($word))"]),
    Family(
        "reverse_words", {"text": phrase(3, 6)}, lambda text: " ".join(reversed(text.split())),
        ["Reverse the order of the words in $text.", "Write the words of $text from last to first.",
         "Say $text with the words in opposite order.",
         "Turn the word order of $text around."],
        ["I will reverse the list of words."], ["words = $text.split()\nprint(\" \".join(words[::-1]))"],
        slips=slips(("words = $text.split()\nprint(words[::-1].join(\" \"))",
                     "`join` is a method of the separator. I will turn it around."))),
    Family(
        "join_words", {"words": words(3, 6), "mark": choice(["-", "+", "/", "_", ":"])},
        lambda words, mark: "".join(w + mark for w in words)[:-1],
        ["Join $words with $mark between them.", "Connect the words $words by $mark.",
         "Make one string from $words, separated by $mark.",
         "Put $mark between the words $words."],
        ["I will join the words."], ["words = $words\nprint($mark.join(words))"],
        slips=slips(("words = $words\nprint(words.join($mark))",
                     "`join` is a method of the separator. I will turn it around."))),
    Family(
        "repeat_text", {"text": word(), "n": integer(2, 6)}, lambda text, n: "".join(text for _ in range(n)),
        ["Repeat $text $n times without spaces.", "Write $text $n times in a row, with nothing between.",
         "Print $text $n times on one line without gaps.",
         "Make a string of $n copies of $text."],
        ["I will multiply the text."], ["print($text * $n)"]),
    Family(
        "common_letter", _top_letter, lambda text: max(set(text), key=text.count),
        ["Which letter appears most often in $text?", "Find the most frequent letter of $text.",
         "What is the most common letter in $text?",
         "Which letter is used the most in $text?"],
        ["I will take the letter with the highest count."], ["text = $text\nprint(max(text, key=text.count))"]),
    Family(
        "unique_letters", {"text": word()}, lambda text: len(Counter(text)),
        ["How many different letters does $text have?", "Count the distinct letters in $text.",
         "Number of unique letters in $text?",
         "How many kinds of letters are used in $text?"],
        ["I will put the letters in a set and count."], ["text = $text\nprint(len(set(text)))"],
        held=["Each letter stamp can be used again. How many stamps do I need to print $text?"]),
    Family(
        "nth_word", _nth_word, lambda text, n: text.split()[n - 1],
        ["What is word number $n in $text?", "Give word $n of $text (the first word is 1).",
         "In $text, which word is at position $n, counted from 1?"],
        ["I will split the text and take word n."], ["words = $text.split()\nprint(words[$n - 1])"]),
    Family(
        "nth_letter", lambda rng: (lambda w: {"text": w, "n": rng.randint(1, len(w))})(rng.choice(WORDS)),
        lambda text, n: text[:n][-1],
        ["What is letter number $n of $text?", "Which letter is at place $n in $text, counted from 1?",
         "Give the letter $n of the word $text.",
         "Spell $text. What is letter $n?"],
        ["I will take the letter at that place."], ["text = $text\nprint(text[$n - 1])"]),
    Family(
        "starts_with", _start, lambda text, part: text[:2] == part,
        ["Does $text start with $part? True or False.", "Is $part the beginning of $text? Answer True or False.",
         "Check if $text begins with $part."],
        ["I will test the start of the text."], ["text = $text\nprint(text.startswith($part))"],
        slips=slips(("text = $text\nprint(text.starts_with($part))",
                     "The method is called `startswith`. I will use it."))),
    Family(
        "contains_text", lambda rng: (lambda w: {"text": w, "part": rng.choice([w[1:4],
                                                                                rng.choice(WORDS)[:3]])})(rng.choice(WORDS)), lambda text, part: text.find(part) >= 0,
        ["Is $part inside $text? True or False.", "Does $text contain $part? Answer True or False.",
         "True or False: $part is a part of $text.",
         "Check whether $part occurs in $text."],
        ["I will test with `in`."], ["print($part in $text)"],
        slips=slips(("print($text.contains($part))", "A text has no method `contains`. I will use `in`."))),
    Family(
        "greeting_text", {"name": plain(NAMES), "age": integer(5, 95)},
        lambda name, age: "Hello " + name + ", you are " + str(age) + ".",
        ["Write exactly: Hello $name, you are $age. Use the variables name and age.",
         "Build the text 'Hello $name, you are $age.' from a name and an age.",
         "With name = $name and age = $age, print 'Hello NAME, you are AGE.' filled in."],
        ["I will build the text with an f-string."],
        ["name = $name\nage = $age\nprint(f\"Hello {name}, you are {age}.\")"],
        slips=slips(("name = $name\nage = $age\nprint(\"Hello \" + name + \", you are \" + age + \".\")",
                     "Text and number cannot be added. I will use an f-string."))),
]
