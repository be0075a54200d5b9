# case: 57
# title: a child holds the pipes when the interpreter is gone
# layer: none
# expect: ends
# doctor: no
# seconds: 5
import os
import subprocess

subprocess.Popen(["sleep", "4057"], start_new_session=True)
os._exit(0)
