# case: 79, 22
# title: lower the limit of memory below what is in use
# layer: none
# expect: ends|survives
# doctor: no
# seconds: 5
import resource

resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))
resource.setrlimit(resource.RLIMIT_DATA, (1 << 20, 1 << 20))
"x" * 1_000_000
# --- next cell
"x" * 1_000_000
