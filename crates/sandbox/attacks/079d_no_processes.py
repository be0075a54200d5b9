# case: 79, 22
# title: lower the limit of processes to nothing, so that no checkpoint can be made
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import resource

resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
# --- next cell
1 / 0
