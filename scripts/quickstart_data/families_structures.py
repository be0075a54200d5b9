"""Families about dictionaries, matrices, sets of words and truth values."""


from .family import Family, slips
from .pools import ITEMS, NAMES, counts


def _scores(rng):
    names = rng.sample(NAMES, rng.randint(3, 5))
    return {"data": dict(zip(names, rng.sample(range(10, 100), len(names))))}


def _lookup(rng):
    data = counts(ITEMS, 3, 5, 1, 90)(rng)
    return {"data": data, "key": rng.choice(list(data))}


FAMILIES = [
    Family(
        "sum_of_dictionary", {"data": counts(ITEMS, 3, 5, 1, 90)}, lambda data: sum(data[key] for key in data),
        ["What is the sum of the values in $data?", "Stock: $data. How many things in total?",
         "Add up all values of the dictionary $data.", "The shelf holds $data. How many pieces are there together?",
         "Total of all values: $data",
         "Could you sum the numbers stored in $data, whatever their keys are?",
         "Karin counted her storeroom: $data. How many items does she have altogether?",
         "Ignore the keys of $data and report the sum of the values.",
         "A shop ordered $data. What is the combined quantity?",
         "Given the mapping $data, determine what all its values add up to.",
         "I packed $data into one big crate. How many things are in the crate?",
         "Work out the overall amount in this inventory: $data"],
        ["I will add the values."], ["data = $data\nprint(sum(data.values()))"],
        held=["Each entry of $data is a count. Tell me the grand total."],
        slips=slips(("data = $data\nprint(sum(data))", "The keys are text. I will add the values."))),
    Family(
        "dictionary_lookup", _lookup, lambda data, key: data.get(key),
        ["What is the value of $key in $data?", "Stock: $data. How many $key are there?",
         "Look up $key in the dictionary $data.", "From $data give the entry for $key.",
         "$data: what number belongs to $key?",
         "Could you check $data and tell me the number stored under $key?",
         "The storeroom list says $data. Leo needs to know how many $key we have.",
         "Given the mapping $data, return the value for the key $key.",
         "How many $key does this inventory record: $data?",
         "Retrieve what is saved under the key $key in $data.",
         "Our warehouse has $data. Report only the number of $key.",
         "Which number goes with $key according to $data?"],
        ["I will look up the key."], ["data = $data\nprint(data[$key])"],
        slips=slips(("data = $data\nprint(data($key))", "A dictionary is not called. I will use square brackets."))),
    Family(
        "highest_value", _scores, lambda data: sorted(data.values())[-1],
        ["What is the highest value in $data?", "Scores: $data. How many points has the best?",
         "Give the maximum of the values of $data.",
         "Maximum value in $data?",
         "Quiz results: $data. What is the top score, as a number?",
         "Could you tell me the largest number stored in $data?",
         "Ignore the names in $data and report the greatest value.",
         "After the game the board shows $data. How many points did the winner get?",
         "Given the mapping $data, return its biggest value, not the key.",
         "Exam points: $data. Which number is the highest?",
         "Look through the values of $data and pick the largest one.",
         "The class record is the best result in $data. How high is it, in points?"],
        ["I will take the maximum of the values."], ["data = $data\nprint(max(data.values()))"],
        slips=slips(("data = $data\nprint(data.max())",
                     "A dictionary has no method `max`. I will use the function on the values."))),
]
