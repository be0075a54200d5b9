# case: 79, 22
# title: lower the limits of processor time and file size
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import resource

resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
# --- next cell
while True:
    pass
