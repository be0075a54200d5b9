//! Programs of one to five cells of one to eight statements, drawn by weight.

use std::fmt::Write;

/// SplitMix64 (Steele, Lea and Flood 2014): the same programs from the same seed, everywhere.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everything is known beforehand.
    Predicted,
    Hostile,
}

/// One cell, and in a predicted program what comes out of it.
#[derive(Debug, Default)]
pub struct Known {
    pub code: String,
    pub stdout: String,
    pub value: Option<String>,
    pub error: Option<String>,
}

#[derive(Debug)]
pub struct Program {
    pub kind: Kind,
    pub cells: Vec<Known>,
}

/// Weight and statements of each group. `#` is a small number.
const GROUPS: &[(u64, &[&str])] = &[
    (
        25,
        &["v = # * 37 + #", "print(#, # ** 9)", "v = sum(range(#))", "print([# for _ in range(#)])", "v = # / (# + 1)"],
    ),
    (
        10,
        &[
            "print('x' * 10_#)",
            "import os; os.write(1, b'\\xff\\x00' * #00)",
            "import sys; sys.stderr.write('e' * #000)",
            "print('\\x1b]0;t\\x07', '\\ud800'.encode('utf-8', 'surrogatepass'))",
            "import os; os.system('echo #')",
            "for i in range(#00): print(i, end='', flush=True)",
        ],
    ),
    (
        12,
        &[
            "class E(Exception):\n    def __str__(self): raise self\nraise E",
            "raise SystemExit(#)",
            "1 / 0",
            "class E(BaseException):\n    def __repr__(self): return 1 / 0\n    __str__ = None\nraise E(#)",
            "class R:\n    def __repr__(self): raise KeyboardInterrupt\nR()",
            "raise KeyboardInterrupt",
            "raise GeneratorExit",
            "e = ValueError(#); e.__cause__ = e; raise e",
            "raise ExceptionGroup('#', [ValueError(#)])",
            "(",
            "raise MemoryError",
            "class M(type):\n    def __getattribute__(self, name): raise RuntimeError\nclass E(Exception, metaclass=M): pass\nraise E",
        ],
    ),
    (10, &["for i in range(#000): v = i", "[i * i for i in range(#000)]", "n = 0\nwhile n < #000: n += 1"]),
    (
        8,
        &[
            "def f(n): return n and f(n - 1)\nf(#)",
            "class A:\n    def __del__(self): print('del #')\na = A(); a = None",
            "import gc; gc.collect()",
            "class A:\n    def __del__(self): 1 / 0\nA()",
            "import gc; gc.disable()",
            "class A: pass\na = A(); a.a = a; a.d = type('D', (), {'__del__': lambda s: print('late')})(); del a",
        ],
    ),
    (
        5,
        &[
            "def f(): f()\nf()",
            "import sys; sys.setrecursionlimit(5000)\ndef f(n): return n and f(n - 1)\nf(4000)",
            "x = []\nfor _ in range(#000): x = [x]\nrepr(x)",
            "eval('(' * #00 + ')' * #00)",
        ],
    ),
    (
        6,
        &[
            "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.0#), print('late'))).start()",
            "import threading\nt = [threading.Thread(target=sum, args=(range(#000),)) for _ in range(#)]\nfor u in t: u.start()",
            "import threading\nthreading.Thread(target=lambda: 1 / 0).start()",
            "import _thread; _thread.interrupt_main()",
            "import threading, time\nthreading.Thread(target=time.sleep, args=(0.#,), daemon=True).start()",
        ],
    ),
    (
        5,
        &[
            "import os; os.fork()",
            "import os\nif os.fork() == 0: os._exit(#)\nos.wait()",
            "import os; os.system('sleep 0.0#')",
            "import os\nif os.fork() == 0: raise SystemExit",
            "import subprocess; subprocess.Popen(['sleep', '#'])",
            "import os\nif os.fork() == 0:\n    os.setsid(); os.fork(); 1 / 0",
            "import os\nfor _ in range(4): os.fork()",
        ],
    ),
    (
        7,
        &[
            "import os; os.close(#)",
            "import os; os.dup2(1, #)",
            "import os; os.closerange(3, 100)",
            "import os; os.close(1)",
            "import os, stat\nfor f in range(3, 64):\n    try:\n        if stat.S_ISSOCK(os.fstat(f).st_mode): os.write(f, os.urandom(#0))\n    except OSError: pass",
            "import os, stat\nfor f in range(3, 64):\n    try:\n        if stat.S_ISSOCK(os.fstat(f).st_mode): os.write(f, bytes([17, 0, 0, 0]) + bytes(16) + b'F')\n    except OSError: pass",
            "import os\nfor f in range(3, 64):\n    try: os.read(f, 0); os.lseek(f, 0, 0)\n    except OSError: pass",
            "import sys; sys.stdout = None",
            "import sys; sys.stdout.close()",
            "import os; r, w = os.pipe(); os.dup2(w, 2)",
            "import os, socket\nfor f in range(3, 64):\n    try: socket.socket(fileno=os.dup(f)).shutdown(2)\n    except OSError: pass",
        ],
    ),
    (
        4,
        &[
            "import builtins; builtins.print = None",
            "import sys; sys.settrace(lambda *a: 1 / 0)",
            "print = 1",
            "import json; json.dumps = None",
            "import os; os.write = lambda *a: 0",
            "import sys; sys.displayhook = lambda v: 1 / 0",
            "import sys; sys.modules.clear()",
            "import sys; sys.addaudithook(lambda e, a: None)",
            "import signal; signal.signal(2, signal.SIG_IGN)",
            "import builtins; builtins.len = lambda _: #",
            "import sys\nf = sys._getframe()\nwhile f:\n    f.f_globals.update(nothing=#); f = f.f_back",
            "import sys; sys.excepthook = None",
            "import signal; signal.setitimer(signal.ITIMER_REAL, 0.0#)",
            "import signal; signal.alarm(1)",
            "import gc\nfor o in gc.get_objects():\n    if type(o).__name__ == 'socket': o.close()",
            "__builtins__ = {}",
        ],
    ),
    (
        3,
        &[
            "open('f#', 'w').write('x' * #000)",
            "import os; os.makedirs('d#/e', exist_ok=True); os.chmod('d#', 0)",
            "import os\ntry: os.symlink('/', 'l#')\nexcept OSError: pass",
            "import os\ntry: os.mkfifo('p#')\nexcept OSError: pass",
            "f = open('f#', 'a'); f.write('#')",
            "open('json.py', 'w').write('1 / 0')",
            "import shutil; shutil.rmtree('.', True)",
        ],
    ),
    (
        2,
        &[
            "while True: pass",
            "import time; time.sleep(9)",
            "while True:\n    try: import time; time.sleep(1)\n    except BaseException: pass",
            "10 ** 10 ** 8",
            "import signal; signal.pause()",
            "import re; re.match('(a+)+$', 'a' * 40 + 'b')",
            "import threading; threading.Lock().__enter__(); threading.Event().wait()",
        ],
    ),
    (
        3,
        &[
            "import os; os._exit(#)",
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "import ctypes; ctypes.string_at(0)",
            "import os; os.abort()",
            "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
            "import os, signal; os.killpg(0, signal.SIGKILL)",
            "import ctypes; ctypes.memset(id(int), 0, 64)",
            "import os, signal; os.kill(-1, signal.SIGTERM)",
        ],
    ),
];

impl Program {
    pub fn draw(random: &mut Random) -> Program {
        let kind = if random.below(10) < 4 { Kind::Predicted } else { Kind::Hostile };
        let count = 1 + random.below(5);
        let cells = (0..count).map(|_| match kind {
            Kind::Predicted => predicted(random),
            Kind::Hostile => hostile(random),
        });
        Program { kind, cells: cells.collect() }
    }
}

fn hostile(random: &mut Random) -> Known {
    let weights: u64 = GROUPS.iter().map(|(weight, _)| weight).sum();
    let mut code = String::new();
    for _ in 0..1 + random.below(8) {
        let mut at = random.below(weights);
        let (_, statements) = GROUPS
            .iter()
            .find(|(weight, _)| {
                at < *weight || {
                    at -= weight;
                    false
                }
            })
            .unwrap();
        let statement = statements[random.below(statements.len() as u64) as usize];
        for char in statement.chars() {
            match char {
                '#' => write!(code, "{}", 1 + random.below(9)).unwrap(),
                char => code.push(char),
            }
        }
        code.push('\n');
    }
    Known { code, ..Known::default() }
}

/// A cell over integers, and what it does: computed here at the same time.
fn predicted(random: &mut Random) -> Known {
    const PRIME: i64 = 1_000_003;
    let mut cell = Known::default();
    let mut values = [0; 4];
    cell.code.push_str("v0 = v1 = v2 = v3 = 0\n");
    for _ in 0..1 + random.below(8) {
        let (to, from, number) = (random.below(4) as usize, random.below(4) as usize, random.below(1000) as i64);
        let code = &mut cell.code;
        match random.below(10) {
            0..=2 => {
                values[to] = (values[from] * number + 7) % PRIME;
                writeln!(code, "v{to} = (v{from} * {number} + 7) % {PRIME}").unwrap();
            }
            3 | 4 => {
                writeln!(cell.stdout, "{} {number}", values[from]).unwrap();
                writeln!(code, "print(v{from}, {number})").unwrap();
            }
            5 | 6 => {
                let rounds = number % 50;
                (0..rounds).for_each(|round| values[to] = (values[to] * 3 + round) % PRIME);
                writeln!(code, "for i in range({rounds}):\n    v{to} = (v{to} * 3 + i) % {PRIME}").unwrap();
            }
            7 => {
                values[to] = if values[from] % 2 == 0 { number } else { values[to] };
                writeln!(code, "def f():\n    return {number} if v{from} % 2 == 0 else v{to}\nv{to} = f()").unwrap();
            }
            8 => {
                writeln!(cell.stdout, "caught {number}").unwrap();
                writeln!(code, "try:\n    raise KeyError({number})\nexcept KeyError as e:\n    print('caught', e)")
                    .unwrap();
            }
            _ => {
                let name = ["ValueError", "KeyError", "RuntimeError", "StopIteration"][random.below(4) as usize];
                writeln!(code, "raise {name}(v{from})").unwrap();
                cell.error = Some(name.to_string());
                return cell;
            }
        }
    }
    if random.below(2) == 0 {
        let at = random.below(4) as usize;
        cell.value = Some(values[at].to_string());
        writeln!(cell.code, "v{at}").unwrap();
    }
    cell
}
