import os, subprocess, sys
assert subprocess.run("echo a; echo b >&2", shell=True, capture_output=True, text=True).stdout == "a\n"
assert subprocess.check_output([sys.executable, "-c", "import sys; print(sum(range(10)), sys.prefix)"], text=True).split()[0] == "45"
pipe = subprocess.Popen("sort | uniq -c", shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
assert pipe.communicate("b\na\nb\n")[0].split() == ["1", "a", "2", "b"]
# --- next cell
later = subprocess.Popen(["sleep", "100"])
try:
    later.wait(0.05)
    raise SystemExit("sleep has ended")
except subprocess.TimeoutExpired:
    pass
# --- next cell
assert later.poll() is None
later.terminate()
assert later.wait(10) == -15
assert subprocess.run([sys.executable, "-c", "raise SystemExit(3)"]).returncode == 3
assert os.system("exit 4") == 4 << 8
assert os.popen("echo popen").read() == "popen\n"
own = subprocess.run(["sh", "-c", "ulimit -c; id -u; pwd"], capture_output=True, text=True, start_new_session=True)
assert own.stdout.split()[2] == os.getcwd()
print("ok")
