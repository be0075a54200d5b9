# case: 4
# title: touch 8 GiB of anonymous memory
# layer: memory
# expect: held|ends
# doctor: yes
# seconds: 20
BLOCK = 64 << 20
BLOCKS_MAX = 128


def attack():
    blocks = []
    try:
        while len(blocks) < BLOCKS_MAX:
            blocks.append(b"x" * BLOCK)
    except MemoryError:
        count = len(blocks)
        blocks.clear()
        return f"held: MemoryError after {count * (BLOCK >> 20)} MiB"
    blocks.clear()
    return "escaped: 8 GiB were written"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
