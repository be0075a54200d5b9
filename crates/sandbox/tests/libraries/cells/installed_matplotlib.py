import matplotlib
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
axes.plot([1, 2, 3], [1, 4, 9], label="$x^2$")
axes.set_title("a title with ünïcödé")
axes.legend()
figure.savefig("figure.png")
figure.savefig("figure.pdf")
figure.savefig("figure.svg")
plt.close(figure)
# --- next cell
import os
assert all(os.path.getsize("figure." + kind) > 2000 for kind in ("png", "pdf", "svg"))
import matplotlib.image
assert matplotlib.image.imread("figure.png").shape[2] == 4
os.makedirs(matplotlib.get_cachedir(), exist_ok=True)
assert os.access(matplotlib.get_cachedir(), os.W_OK)
print("ok")
# --- next cell
plt.plot([1, 2]); plt.show()
