# case: 45
# title: folders without permissions and a deep tree are left for the end of the session
# layer: none
# expect: survives
# doctor: no
# seconds: 10
import os

os.makedirs("attack-045b/a/b")
for index in range(100):
    os.symlink("/", f"attack-045b/a/{index}")
step = os.open("attack-045b/a/b", os.O_RDONLY)
for _ in range(500):
    os.mkdir("d" * 100, dir_fd=step)
    deeper = os.open("d" * 100, os.O_RDONLY, dir_fd=step)
    os.close(step)
    step = deeper
os.close(step)
for name in ("attack-045b/a/b", "attack-045b/a", "attack-045b"):
    os.chmod(name, 0)
print("left a tree that blocks whoever deletes it")
