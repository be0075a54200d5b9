# case: 57
# title: a child holds the pipes when its cell has ended
# layer: none
# expect: survives
# doctor: no
# seconds: 5
import subprocess

child_057 = subprocess.Popen(["sleep", "4057"], start_new_session=True)
# --- next cell
child_057.kill()
child_057.wait()
print("the child ended")
