import gzip, json, os, pathlib, shutil, tarfile, tempfile, zipfile
with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    (folder / "a.txt").write_text("α" * 1000)
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "a.txt", "a.txt")
    with tarfile.open(folder / "a.tar.gz", "w:gz") as archive:
        archive.add(folder / "a.txt", "b.txt")
    assert zipfile.ZipFile(folder / "a.zip").read("a.txt").decode() == "α" * 1000
    assert tarfile.open(folder / "a.tar.gz").extractfile("b.txt").read().decode() == "α" * 1000
assert not folder.exists()
# --- next cell
with tempfile.NamedTemporaryFile("w+") as file, tempfile.TemporaryFile() as unnamed:
    file.write("x")
    file.flush()
    assert os.path.getsize(file.name) == 1
    assert unnamed.write(b"y") == 1
with gzip.open("kept.json.gz", "wt") as file:
    json.dump({"kept": [1, 2]}, file)
os.makedirs("a/b/c")
shutil.copy("kept.json.gz", "a/b/c")
os.replace("a/b/c/kept.json.gz", "moved.gz")
os.symlink("moved.gz", "link")
os.link("moved.gz", "second")
os.chmod("moved.gz", 0o600)
os.utime("moved.gz", (1, 1))
# --- next cell
with gzip.open("link", "rt") as file:
    assert json.load(file) == {"kept": [1, 2]}
assert sorted(os.listdir()) == ["a", "kept.json.gz", "link", "moved.gz", "second"] and os.stat("second").st_mtime == 1
assert shutil.disk_usage(".").total > 0 and os.path.expanduser("~") != "/"
shutil.rmtree("a")
import mmap
with open("mapped", "w+b") as file:
    file.truncate(8192)
    with mmap.mmap(file.fileno(), 0) as memory:
        memory[4096:4099] = b"abc"
        memory.flush()
    assert file.read()[4096:4099] == b"abc"
print("ok")
