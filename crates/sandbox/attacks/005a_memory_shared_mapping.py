# case: 5
# title: touch 8 GiB of shared anonymous mappings, which RLIMIT_DATA does not count
# layer: memory
# expect: held|ends
# doctor: no
# seconds: 20
import errno
import mmap

BLOCK = 64 << 20
BLOCKS_MAX = 128


def attack():
    block = b"x" * BLOCK
    mappings = []
    try:
        while len(mappings) < BLOCKS_MAX:
            mappings.append(mmap.mmap(-1, BLOCK))
            mappings[-1].write(block)
    except OSError as error:
        if error.errno != errno.ENOMEM:
            raise
        return f"held: ENOMEM after {len(mappings)} mappings of 64 MiB"
    except MemoryError:
        return f"held: MemoryError after {len(mappings)} mappings of 64 MiB"
    finally:
        for mapping in mappings:
            mapping.close()
    return "escaped: 8 GiB were written"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
