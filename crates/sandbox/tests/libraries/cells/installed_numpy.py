import numpy as np
rng = np.random.default_rng(0)
a = rng.standard_normal((300, 300))
q, r = np.linalg.qr(a)
assert np.allclose(q @ r, a)
# --- next cell
assert np.allclose(np.linalg.solve(a, a @ np.ones(300)), 1)
np.save("a.npy", a)
mapped = np.load("a.npy", mmap_mode="r+")
mapped[0, 0] = 5
mapped.flush()
assert np.load("a.npy")[0, 0] == 5
assert np.fft.rfft(np.ones(64))[0] == 64
big = np.zeros((2000, 2000))
big += 1
# --- next cell
assert (big @ big)[0, 0] == 2000
import multiprocessing
with multiprocessing.Pool(2) as pool:
    assert pool.map(np.sum, [big[:10], big[:20]]) == [20000, 40000]
print("ok")
