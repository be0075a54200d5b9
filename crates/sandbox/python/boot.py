"""First code of every interpreter the sandbox starts: `python -I -B -X utf8 -c <this text> <fd> zygote|alone`; with
`-s` for `-I` where a seed of hashes is set, which isolated mode would ignore.

The launcher's first packet carries the text of the other files of this folder as fields `source/<name>` (with or
without `.py`). Each is executed into a private namespace on a private copy of the builtins. None of them enters
`sys.modules`, so no cell can reach them by importing, and `builtins.len = None` in a cell does not reach them either.
A private file gets another one by `load("name")`.

A packet may be larger than the default socket buffer: the launcher raises SO_SNDBUF to at least the packet's size.
"""
import builtins
import sys

if sys.path[:1] == [""]:
    del sys.path[0]         # what isolated mode leaves out by itself: modules from the folder this starts in

PACKET_BYTES_MAX = 4 << 20


def decode_fields(data):
    """Pairs of (key, value bytes); ValueError for anything malformed. The same as in fields.py, which comes later."""
    pairs, position = [], 0
    while position < len(data):
        parts = []
        for _ in range(2):
            end = position + 4 + int.from_bytes(data[position:position + 4], "little")
            if position + 4 > len(data) or end > len(data):
                raise ValueError("fields end inside a length or a value")
            parts.append(data[position + 4:end])
            position = end
        pairs.append((parts[0].decode("utf-8"), parts[1]))
    return pairs


def make_loader(sources):
    """`load(name)`: the private namespace object of one source text, executed at the first call."""
    private_builtins = dict(vars(builtins))
    loaded = {}
    module_type = type(sys)

    def load(name):
        if name not in loaded:
            module = module_type("codeact." + name)
            space = vars(module)
            space["__builtins__"] = private_builtins
            space["load"] = load
            loaded[name] = module
            exec(compile(sources[name], f"<codeact/{name}>", "exec", 0, True), space)
        return loaded[name]

    return load


def boot(fd, mode):
    import _socket      # the C part: the module `socket` costs milliseconds and is never needed here
    launcher = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)
    pairs = decode_fields(launcher.recv(PACKET_BYTES_MAX))
    prefix = "source/"
    sources = {}
    for key, value in pairs:
        if key.startswith(prefix):
            name = key[len(prefix):]
            sources[name[:-3] if name.endswith(".py") else name] = value.decode("utf-8")
    try:
        load = make_loader(sources)
        zygote = load("zygote")
    except Exception as error:
        text = f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace")
        key = b"error"
        launcher.send(len(key).to_bytes(4, "little") + key + len(text).to_bytes(4, "little") + text)
        sys.exit(1)
    zygote.start(launcher, mode, pairs)


if __name__ == "__main__":
    boot(int(sys.argv[1]), sys.argv[2])
