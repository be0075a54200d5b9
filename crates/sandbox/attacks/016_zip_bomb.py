# case: 16
# title: unpack 8 MiB into 8 GiB
# layer: memory
# expect: held|ends
# doctor: no
# seconds: 20
import zlib

BLOCK = 64 << 20
BLOCKS_MAX = 128


def attack():
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # Blocks that end with a full flush stand alone, so that the packed block can be repeated.
    packed = packer.compress(bytes(BLOCK)) + packer.flush(zlib.Z_FULL_FLUSH)
    try:
        unpacked = zlib.decompressobj(-15).decompress(packed * BLOCKS_MAX)
    except MemoryError:
        return f"held: MemoryError on {len(packed) * BLOCKS_MAX >> 10} KiB"
    return f"escaped: unpacked {len(unpacked)} bytes"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
