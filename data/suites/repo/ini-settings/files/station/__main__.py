"""`python -m station`: show; `python -m station set SECTION KEY JSON`: change a setting."""
import json
import sys

from station.display import humidity, title
from station.settings import load, save

if sys.argv[1:2] == ["set"]:
    section, key, value = sys.argv[2:]
    settings = load()
    settings[section][key] = json.loads(value)
    save(settings)
else:
    print(title())
    print(humidity(40))
