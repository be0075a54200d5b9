"""What is promised of requests of an API: they are compared as texts, whole, in any order of parameters."""
import json
from unittest import mock

from casebook import Casebook

case = Casebook()
RIGHT = {"passed": 1}


def told(room, right, solution):
    code = room.product.texts["api_call"] + f"RIGHT = {json.dumps(right)}\n"
    return room.told(code, solution)


def judged(room, right, accepted=(), refused=()):
    for solution in accepted:
        answer = told(room, right, solution)
        assert answer == RIGHT, (right, solution, answer)
    for solution in refused:
        answer = told(room, right, solution)
        assert list(answer) == ["failed"], (right, solution, answer)


@case
def a_request_is_right_with_its_name_and_all_parameters(room):
    judged(room, "[AddNote(text='a b', day='2023-01-02')]", [
        "[AddNote(text='a b', day='2023-01-02')]", "[AddNote(day='2023-01-02', text='a b')]",
        "AddNote(text='a b', day='2023-01-02')", "API-Request: [AddNote(text='a b', day='2023-01-02')]",
        'API-Request:[AddNote(text="a b",day="2023-01-02")]', "\n[ AddNote( text = 'a b' , day = '2023-01-02' , ) ] \n",
        "[AddNote(text=a b, day=2023-01-02)]", "[AddNote(text=' a b ', day='2023-01-02')]",
        "API-Request:\n  AddNote(text='a b',\n  day='2023-01-02')",
        "[AddNote(text='a b', day='2023-01-02'),]"[:-2] + "]",
    ], [
        "", "AddNote", "[AddNote()]", "[AddNote(text='a b')]", "[AddNote(day='2023-01-02')]",
        "[AddNote(text='a b', day='2023-01-03')]", "[AddNote(text='a b', day='2023-01-02', more='')]",
        "[AddNot(text='a b', day='2023-01-02')]", "[addNote(text='a b', day='2023-01-02')]",
        "[AddNote(text='2023-01-02', day='a b')]", "[AddNote(text='a  b', day='2023-01-02')]",
        "[AddNote(Text='a b', day='2023-01-02')]", "[AddNote(text='a b', days='2023-01-02')]",
    ])


@case
def a_turn_without_a_request_says_so(room):
    for solution, why in [
        (None, "there is no <solution>"), ("I do not know.", "and nothing else"),
        ("[B()]", "B is requested, and A is right"), ("[A(x='1')]", "the parameters are"),
        ("[A(n='1', n='1')]", "n is there twice"), ("[A(n)]", "there is no key='value' at 'n'")
    ]:
        answer = told(room, "[A(n='1')]", solution)
        assert why in answer["failed"] and answer["failed"].startswith("test_the_request: "), (solution, answer)


@case
def a_request_is_taken_whole(room):
    judged(room, "[Add(n='1')]", [
        "[Add(n=1)]", " [ Add( n = '1', ) ] ", "Add(n='1')", '[Add(n="1")]', "[Add(n='1' )]"
    ], [
        "[Add(n='1')] or so", "It is [Add(n='1')]", "[Add(n='2', n='1')]", "[Add(n='1', n='1')]", "[Add('1')]",
        "[Add(n='1', 'x')]", "[Add(n='1'), Add(n='1')]", "[Add(n='1',,)]", "[Add(n=True)]", "[Add(n='1']", "Add n='1'",
        "[[Add(n='1')]]", "[Add(n='1')]]", "[Add(n='1'", "(n='1')", "[(n='1')]", "[Add(='1')]", "[Add(n=='1')]",
        "[Add(n=)]", "[Add(n='')]", "[Add(n='1);]", "[Add(, n='1')]", "[Add(n='1'x)]", "Request: [Add(n='1')]",
        "[Add(n='1') \n x]", "[Add (n='1')]", "[API-Request: Add(n='1')]", "API-Request: API-Request: Add(n='1')",
        "Add(n='1' m='2')",
    ])
    judged(room, "[Now()]", ["[Now()]", "Now()", "[Now( )]"], ["[Now(,)]", "[Now(x='')]", "[Now]", "Now", "[Now(x)]"])


@case
def texts_may_hold_what_separates(room):
    judged(room, "[Say(a='it's late, x', b='(1)]')]", [
        "[Say(b='(1)]', a='it's late, x')]", '[Say(a="it\'s late, x", b="(1)]")]',
        "[ Say(b=(1)], a=\"it's late, x\") ]",
    ], [
        "[Say(a='its late, x', b='(1)]')]", "[Say(a='it's late', b='(1)]')]", "[Say(a='it's late, x', b='(1)')]"
    ])
    judged(
        room, "[Say(a='say \"hi\"', b='')]",
        ["[Say(a='say \"hi\"', b='')]", '[Say(a="say "hi"", b="")]', "[Say(b=, a='say \"hi\"')]"],
        ["[Say(a='say hi', b='')]", "[Say(a='say \"hi\"')]"]
    )
    judged(
        room, "[Say(a='one\ntwo')]", ["[ Say(a='one\ntwo')]", '[Say(a="one\ntwo")]', "[Say(a=one\ntwo)]"],
        ["[Say(a='one two')]"]
    )


@case
def however_a_request_is_written_it_is_itself(room):
    for odd in ["no request at all", "[Say(a='x', a='y')]", "[Say(a=, 'x')]"]:
        judged(room, odd, [odd, f"  {odd}\n"], [odd + "x", "", "[Say()]"])


@case
def values_are_equal_as_literals_or_as_texts(room):
    judged(room, "[Put(x='[1, 2.5, \"a\"]')]", [
        "[Put(x=[1, 2.5, 'a'])]", "[Put(x='[1.0,2.5,\"a\"]')]", '[Put(x="[1, 2.50, \'a\',]")]'
    ], [
        "[Put(x=[1, 2.5])]", "[Put(x=[2.5, 1, 'a'])]", "[Put(x=(1, 2.5, 'a'))]", "[Put(x=[1, 2.5, 'a', 'a'])]",
        "[Put(x=[True, 2.5, 'a'])]", "[Put(x=[1, 2.5, a])]", "[Put(x=[1, 2.5, 'b'])]", "[Put(x=[1, '2.5', 'a'])]"
    ])
    judged(room, "[Put(x='{\"k\": [1, true]}', y='True')]", ["[Put(x='{\"k\": [1, true]}', y=True)]"], [
        "[Put(x={'k': [1, True]}, y=True)]", "[Put(x='{\"k\": [1, true]}', y=1)]",
        "[Put(x='{\"k\": [1, true]}', y='true')]"
    ])
    judged(room, "[Put(x='{\"k\": [1, True], 2: 0}')]", [
        "[Put(x={2: 0, 'k': [1, True]})]", "[Put(x={'k': [1.0, True], 2.0: 0})]"
    ], [
        "[Put(x={'k': [1, 1], 2: 0})]", "[Put(x={'k': [1, True]})]", "[Put(x={'k': [1, True], 2: False})]",
        "[Put(x={'k': 1, 2: 0})]", "[Put(x={'k': [1, True], 2: 0, 3: 0})]", "[Put(x={'k': [1, True], '2': 0})]",
        "[Put(x={'j': [1, True], 2: 0})]", "[Put(x=['k', 2])]"
    ])


@case
def numbers_and_truths_are_told_apart(room):
    judged(room, "[Put(x='1', y='2.50')]", [
        "[Put(x=1, y=2.5)]", "[Put(x=1.0, y='2.5')]", "[Put(x='0b1', y='25e-1')]", "[Put(x=+1, y=2.50)]"
    ], [
        "[Put(x=True, y=2.5)]", "[Put(x=1, y=2.51)]", "[Put(x=1, y='2,50')]", "[Put(x=01, y=2.5)]", "[Put(x=-1, y=2.5)]"
    ])
    judged(room, "[Put(x='[False, True]', y='x')]", ["[Put(x=[False,True], y=x)]"], [
        "[Put(x=[True,False], y=x)]", "[Put(x=[False, True], y='')]"
    ])
    judged(room, "[Put(x=True, y=False)]", ["[Put(x='True', y=\"False\")]", "[Put(x=(True), y=False)]"], [
        "[Put(x=1, y=False)]", "[Put(x=True, y=0)]", "[Put(x=False, y=True)]", "[Put(x=True, y=None)]"
    ])
    judged(room, "[Put(x=[True, 1, 0])]", ["[Put(x=[True,1,0])]"], [
        "[Put(x=[1, 1, 0])]", "[Put(x=[True, True, 0])]", "[Put(x=[True, 1, False])]"
    ])
    judged(room, "[Put(x='[(1, 0)]')]", ["[Put(x=[(1, 0.0)])]"], ["[Put(x=[(True, 0)])]", "[Put(x=[[1, 0]])]"])
    judged(room, "[Put(x='[{1}]')]", ["[Put(x=[{1.0}])]"], ["[Put(x=[{True}])]", "[Put(x=[{1, 2}])]", "[Put(x=[[1]])]"])
    judged(room, "[Put(x='{1: 0}')]", ["[Put(x={1:0.0})]"], ["[Put(x={True: 0})]"])


@case
def what_is_another_type_of_literal_stays_a_text(room):
    judged(room, "[Put(x='(1, 2)')]", ["[Put(x=(1, 2))]"], ["[Put(x=(1,2))]", "[Put(x=[1, 2])]"])
    judged(room, "[Put(x='None')]", ["[Put(x=None)]"], ["[Put(x='')]", "[Put(x='none')]"])
    judged(room, "[Put(x='{1, 2}')]", ["[Put(x={1, 2})]"], ["[Put(x={2, 1})]", "[Put(x=[1, 2])]"])
    judged(room, "[Put(x='b\"a\"')]", ['[Put(x=b"a")]'], ["[Put(x=b'a')]"])
    judged(room, "[Put(x='r\"a\"')]", ['[Put(x=r"a")]'], ["[Put(x=\"'a'\")]"])


@case
def what_is_no_literal_stays_a_text(room):
    deep = "[" * 5000 + "]" * 5000
    for odd in ["a b", "x y z(", "{[]: 1}", "nan", "open('f')", "1 +", deep, "-" * 5000 + "1", "\\0", "1e", "2 ** 3"]:
        judged(room, f"[Put(x={odd}, y=1)]", [f"[Put(y=1, x={odd})]"], ["[Put(y=1, x=[])]", f"[Put(y=2, x={odd})]"])
    for error in (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        with mock.patch("ast.literal_eval", side_effect=error("no")):
            judged(room, "[Put(x='1')]", ["[Put(x=1)]"])
            assert "the parameters are" in told(room, "[Put(x='1')]", "[Put(x='1.0')]")["failed"], error
    judged(room, "[Put(x='[1]')]", (), ["[Put(x={[]: 1})]", f"[Put(x={deep})]", "[Put(x=a b)]", "[Put(x=\0)]"])


@case
def a_request_has_at_most_twenty_thousand_characters(room):
    for count, is_right in ((20_000, True), (20_001, False)):
        right = "[Put(x=1)]"
        solution = "[Put(x=1" + " " * (count - len(right)) + ")]"
        assert len(solution) == count
        assert (told(room, right, solution) == RIGHT) is is_right, count
