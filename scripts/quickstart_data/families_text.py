"""Families about words and sentences."""


from .family import Family, slips
from .pools import LETTERS, PALINDROMES, WORDS, phrase, sentence, text, words


def _letter_and_text(rng):
    value = text()(rng)
    return {"text": value, "letter": rng.choice(LETTERS if rng.random() < 0.5 else value.replace(" ", ""))}


def _mirror_word(rng):
    return {"text": rng.choice(PALINDROMES if rng.random() < 0.5 else WORDS)}


def _replace(rng):
    value = sentence()(rng)
    return {"text": value, "old": rng.choice(value.split()[1:]), "new": rng.choice(WORDS)}


def _longest(rng):
    while True:
        chosen = rng.sample(WORDS, rng.randint(3, 6))
        if sum(len(w) == max(map(len, chosen)) for w in chosen) == 1:
            return {"text": " ".join(chosen)}


FAMILIES = [
    Family(
        "count_letter", _letter_and_text, lambda text, letter: sum(c == letter for c in text),
        ["How many times does the letter $letter appear in $text?", "Count the letter $letter in $text.",
         "How many $letter are in $text?",
         "How often does $letter occur in $text?", "Look at $text. What is the number of letters $letter?",
         "Number of $letter in the text $text?",
         "My sign says $text. How many letters $letter do I need to print it?",
         "Occurrences of $letter in $text?",
         "Go through $text and tally every $letter. What is the tally?",
         "Could you check how many characters of $text are equal to $letter?",
         "Paul paints over each $letter on a poster that reads $text. How many letters does he paint over?",
         "Report the frequency of the character $letter within the string $text."],
        ["I will count the letter."], ["text = $text\nprint(text.count($letter))"],
        held=["I wrote $text on a card. Tell me how frequently $letter shows up."],
        slips=slips(("text = $text\nprint(count(text, $letter))",
                     "There is no function `count`. It is a method of the text."))),
    Family(
        "reverse_text", {"text": text()}, lambda text: "".join(reversed(text)),
        ["Reverse the text $text.", "Write $text backwards.", "Spell $text from the last letter to the first.",
         "What is $text in reverse?",
         "Turn the string $text around.", "Give me $text read from right to left.",
         "Reverse the characters in $text.",
         "$text backwards, please.",
         "Return the string $text with its characters in opposite order.",
         "A secret note must be written back to front. What becomes of $text?",
         "Could you type $text for me from end to start, spaces included?",
         "Invert the character order of $text and show the result."],
        ["I will reverse the text."], ["text = $text\nprint(text[::-1])"],
        held=["How would $text look in a mirror, last character first?",
              "Flip $text so that it starts with its final letter."],
        slips=slips(("text = $text\nprint(text.reverse())", "A text has no method `reverse`. I will use a slice."))),
    Family(
        "upper_case", {"text": text()},
        lambda text: "".join(chr(ord(c) - 32) if "a" <= c <= "z" else c for c in text),
        ["Write $text in capital letters.", "Convert $text to upper case.", "Make $text uppercase.",
         "Turn all letters of $text into capitals.",
         "I want to shout $text. Give it in big letters.", "Change $text to all caps.",
         "$text in all capitals, please.",
         "Could you uppercase the string $text for me?",
         "The poster needs only capital letters. How does $text look on it?",
         "Replace each small letter of $text by its capital form.",
         "My caps lock key was on while I typed $text. What appeared on the screen?",
         "Return $text with every letter as an uppercase letter."],
        ["I will turn the text into upper case."], ["text = $text\nprint(text.upper())"],
        held=["Please put $text in block capitals."],
        slips=slips(("text = $text\nprint(upper(text))",
                     "There is no function `upper`. It is a method of the text."))),
    Family(
        "lower_case", lambda rng: {"text": text()(rng).title() if rng.random() < 0.5 else text()(rng).upper()},
        lambda text: text.casefold(),
        ["Convert $text to lower case.", "Write $text in small letters.", "Make $text lowercase.",
         "Remove the capitals from $text by making them small.",
         "Change every letter of $text to lowercase.",
         "$text in lowercase, please.",
         "Could you get rid of the capital letters and show $text all in small ones?",
         "Someone shouted $text in a chat. Rewrite it with lowercase letters only.",
         "Replace each capital in $text by the matching small letter.",
         "How does $text look when no letter is a capital?",
         "Return the string $text with all its letters lowercased.",
         "Our file names must be lowercase. Which form does $text take?"],
        ["I will turn the text into lower case."], ["text = $text\nprint(text.lower())"]),
    Family(
        "count_vowels", {"text": text()}, lambda text: sum(text.count(v) for v in "aeiou"),
        ["How many vowels are in $text?", "Count the vowels in $text.", "Number of vowels in $text?",
         "Find how many of the letters a, e, i, o, u are in $text.",
         "In $text, how many characters are vowels?", "Tell me the vowel count of $text.",
         "Vowels in $text: how many?",
         "Go over $text and tally each a, e, i, o and u. What is the tally?",
         "A singer holds every vowel (a, e, i, o, u) of $text. How many does she hold?",
         "Could you work out how many vowels the string $text contains, repeats included?",
         "Report the total number of vowels a, e, i, o, u in $text.",
         "Suppose I cross out the consonants and spaces of $text. How many letters stay?"],
        ["I will count the vowels in the text."], ["text = $text\nprint(sum(1 for c in text if c in \"aeiou\"))",
                                                   "text = $text\nprint(len([c for c in text if c in \"aeiou\"]))"],
        held=["My sister says $text has many vowels. How many exactly?"],
        slips=slips(("text = $text\nprint(sum(1 for c in text if c in vowels))",
                     "The name `vowels` is not defined. I will write the vowels in the code."))),
    Family(
        "is_palindrome", _mirror_word, lambda text: list(text) == list(reversed(text)),
        ["Is $text a palindrome? Answer True or False.", "Does $text read the same backwards? True or False.",
         "Check if $text is a palindrome (True or False).",
         "True or False: $text is the same from both sides.", "Test whether $text equals its reverse.",
         "$text: palindrome? True or False.",
         "Say True if reversing $text changes nothing, otherwise say False.",
         "Grace collects palindromes. Does $text belong in her collection? True or False.",
         "Could you verify whether $text is spelled the same forwards and backwards? Reply True or False.",
         "I think that $text is a palindrome. Am I right, True or False?",
         "Determine whether the string $text is a palindrome and print True or False.",
         "Is the reversed form of $text identical to the original? Answer with True or False."],
        ["I will compare the text with its reverse."], ["text = $text\nprint(text == text[::-1])"],
        held=["If I read $text from right to left, do I get the same word? True or False."]),
    Family(
        "replace_word", _replace, lambda text, old, new: new.join(text.split(old)),
        ["Replace $old by $new in $text.", "In $text, change $old to $new.",
         "Take $text and put $new where $old stands.",
         "Swap the word $old for $new in the sentence $text.", "Rewrite $text with $new instead of $old.",
         "$text: substitute $new for $old.",
         "Could you exchange every $old in $text for $new and show me the result?",
         "I typed $old but meant $new. Correct it everywhere in $text.",
         "Return the string $text after each occurrence of $old has become $new.",
         "What does $text turn into if $new takes the place of every $old?",
         "Please edit $text: wherever $old occurs, put $new.",
         "Search for $old in $text and replace all hits with $new."],
        ["I will replace the word."], ["text = $text\nprint(text.replace($old, $new))"],
        slips=slips(("text = $text\nprint(text.replace($old))",
                     "`replace` needs the new word too. I will give both."))),
    Family(
        "count_words", {"text": phrase(3, 11)}, lambda text: text.count(" ") + 1,
        ["How many words are in $text?", "Count the words in $text.", "What is the word count of $text?",
         "Number of words: $text",
         "I wrote $text. How many words is that?", "Split $text into words and count them.",
         "Word count for $text, please.",
         "Could you say how many separate words the line $text consists of?",
         "Olga reads $text aloud, word by word. How many words does she read?",
         "Report the number of space-separated words in $text.",
         "The essay title is $text. Of how many words does it consist?",
         "If I put each word of $text on its own line, how many lines are there?"],
        ["I will split the text and count the words."], ["text = $text\nprint(len(text.split()))"],
        held=["A message costs one coin per word. How many coins for $text?"],
        slips=slips(("text = $text\nprint(text.split().length)", "A list has no `length`. I will use `len`."))),
    Family(
        "text_length", {"text": text()}, lambda text: sum(1 for _ in text),
        ["How long is the text $text?", "How many characters does $text have?",
         "Count the characters in $text, spaces included.", "What is the length of $text?",
         "Number of characters in $text?",
         "Length of $text in characters?",
         "How many characters, blanks counted too, make up $text?",
         "A display shows one character per cell, spaces too. How many cells does $text need?",
         "Could you measure the string $text and report its number of characters?",
         "Tell me what len gives for the string $text.",
         "I typed $text without a mistake. How many keys did I press, spaces included?",
         "Determine how many letters and spaces the text $text has altogether."],
        ["I will use `len`."], ["text = $text\nprint(len(text))"],
        slips=slips(("text = $text\nprint(text.length())", "A text has no method `length`. I will use `len`."),
                    ("text = $text\nprint(text.len())",
                     "A text has no method `len`. I will use the function `len`."))),
    Family(
        "longest_word", _longest, lambda text: sorted(text.split(), key=len)[-1],
        ["What is the longest word in $text?", "Find the longest word of $text.",
         "Which word in $text has the most letters?",
         "Give the word with the greatest length in $text.",
         "Longest word: $text",
         "Split $text at the spaces and return the word with the most characters.",
         "Could you tell me which word of $text is longer than all the others?",
         "In the line $text, one word beats the rest in length. Name it.",
         "Hugo wants to spell the longest word of $text. Which word is it?",
         "Compare the lengths of the words in $text and report the longest word.",
         "Of all words in $text, which has the highest number of letters?",
         "Pick out the single longest word from the text $text."],
        ["I will take the word with the greatest length."], ["text = $text\nprint(max(text.split(), key=len))"],
        held=["Out of the words $text, pick the one that takes most space to write."],
        slips=slips(("text = $text\nprint(longest(text.split()))",
                     "There is no function `longest`. I will use `max` with `key=len`."))),
    Family(
        "sort_words", {"words": words(4, 7)}, lambda words: sorted(words),
        ["Sort these words alphabetically and give a list: $words", "Put $words in alphabetical order. Give a list.",
         "Order the words $words from a to z as a list.",
         "Alphabetize: $words. Answer with a list.",
         "Which order do the words $words have in a dictionary? Give a list.",
         "Sorted a-z as a list, please: $words",
         "Could you alphabetize the words $words and return them as a list?",
         "A librarian labels drawers $words and wants them alphabetical. Give the ordered list.",
         "Return a list with the words $words in ascending alphabetical order.",
         "What list do I get if I sort $words by the alphabet?",
         "Bring these into alphabetical sequence and show the list: $words",
         "For an index I must order $words alphabetically. Write the resulting list."],
        ["I will sort the words."], ["words = $words\nprint(sorted(words))"],
        held=["Arrange the names $words as in a phone book. Give a list."],
        slips=slips(("words = $words\nprint(words.sorted())",
                     "A list has no method `sorted`. I will use the function."))),
]
