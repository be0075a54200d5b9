"""The program from here and from elsewhere, the function, and what setup.cfg says."""
import configparser

ELSEWHERE = """
import os, subprocess, sys, tempfile
here = os.getcwd()
folder = tempfile.mkdtemp()
os.makedirs(os.path.join(folder, "anagrams"))
open(os.path.join(folder, "words.txt"), "w").write("setno\\n")
open(os.path.join(folder, "anagrams", "words.txt"), "w").write("setno\\n")
done = subprocess.run([sys.executable, "-m", "anagrams", *sys.argv[1:]], cwd=folder, env={**os.environ, "PYTHONPATH": here}, capture_output=True)
sys.stdout.buffer.write(done.stdout)
sys.stderr.buffer.write(done.stderr)
sys.exit(done.returncode)
"""


def test_here_and_elsewhere():
    for start in (["python", "-m", "anagrams"], ["python", "-c", ELSEWHERE]):
        assert run([*start, "notes"])[:2] == (0, "stone\nonset\n"), start
        assert run([*start, "xyz"])[:2] == (1, ""), start
        assert run([*start, "--version"])[:2] == (0, "anagrams 1.4.0\n"), start
        for wrong in ([], ["a", "b"]):
            code, out, errors = run([*start, *wrong])
            assert (code, out) == (2, "") and "usage" in errors and "Traceback" not in errors, (start, wrong)


def test_the_function():
    program = "import json, sys\nfrom anagrams.cli import main\ncode = main(json.loads(sys.argv[1]))\nprint('code', code)\n"
    assert run(["python", "-c", program, '["notes"]'])[:2] == (0, "stone\nonset\ncode 0\n")
    assert run(["python", "-c", program, '["xyz"]'])[:2] == (0, "code 1\n")
    program = "import sys\nfrom anagrams.cli import main\nsys.argv = ['anagrams', 'onset']\nprint('code', main())\n"
    assert run(["python", "-c", program])[:2] == (0, "stone\nnotes\ncode 0\n")


def test_the_version_has_one_source():
    program = "import anagrams\nanagrams.__version__ = '9.9'\nfrom anagrams.cli import main\ntry:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
    assert run(["python", "-c", program])[:2] == (0, "anagrams 9.9\n")
    assert evaluate("anagrams.__version__") == "1.4.0"


def test_importing_does_nothing():
    names = [path for path in workspace.files() if path.startswith("anagrams/") and path.endswith(".py") and "__" not in path]
    for name in names:
        module = name.removesuffix(".py").replace("/", ".")
        assert run(["python", "-c", f"import {module}", "notes"]) == (0, "", ""), module


def test_setup_cfg():
    said = configparser.ConfigParser(interpolation=None)
    said.read_string(workspace.text("setup.cfg"))
    metadata, options = said["metadata"], said["options"]
    assert metadata["name"] == "anagrams" and metadata["version"].replace(" ", "") in ("1.4.0", "attr:anagrams.__version__")
    assert options["python_requires"] == ">=3.10"
    assert options["packages"].split() in (["anagrams"], ["find:"], ["find_namespace:"])
    scripts = [line.replace(" ", "") for line in said["options.entry_points"]["console_scripts"].split("\n") if line.strip()]
    assert scripts == ["anagrams=anagrams.cli:main"]
    data = said["options.package_data"]
    patterns = " ".join(data.get(name, "") for name in ("anagrams", "*")).replace(",", " ").split()
    assert "words.txt" in patterns or "*.txt" in patterns
