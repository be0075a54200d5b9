# case: 79, 22
# title: lower the limit of open files to nothing
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import resource

resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
# --- next cell
1 / 0
