# case: 14
# title: a regular expression that backtracks for years
# layer: none
# expect: ends
# doctor: no
# seconds: 2
import re

re.match("(a|a)*(a|a)*(a|a)*b", "a" * 64)
print("escaped: the expression ended")
