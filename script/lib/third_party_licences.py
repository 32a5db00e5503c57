"""Prints the licences of every crate that is linked into pgdumpd, each text once.

Usage: third_party_licences.py TARGET, in the workspace's folder. Reads what cargo metadata says.
"""

import json
import os
import re
import subprocess
import sys

NAMES = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)", re.IGNORECASE)
CODE = (".rs", ".c", ".h", ".go", ".py", ".pl", ".toml", ".json", ".yml")
RULE = "=" * 100


def linked(target):
    """The packages that pgdumpd needs when it runs, by their id."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    ours = [package["id"] for package in metadata["packages"] if package["name"] == "pgdumpd"]
    found, ahead = set(), ours
    while ahead:
        one = ahead.pop()
        if one in found:
            continue
        found.add(one)
        for dependency in nodes[one]["deps"]:
            # A kind of its own is that of build scripts and tests.
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                ahead.append(dependency["pkg"])
    foreign = [packages[one] for one in found if packages[one]["source"]]
    return sorted(foreign, key=lambda package: (package["name"], package["version"]))


def texts(package):
    """The licence texts in a package's folder, and of the C code that it brings."""
    folder = os.path.dirname(package["manifest_path"])
    for path, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if NAMES.match(name) and not name.lower().endswith(CODE):
                with open(os.path.join(path, name), encoding="utf-8", errors="replace") as file:
                    yield file.read().strip()


def main(target):
    packages = linked(target)
    by_text = {}
    without = []
    for package in packages:
        name = f"{package['name']} {package['version']}"
        found = set(texts(package))
        if not found:
            without.append(f"{name}, by {', '.join(package['authors']) or 'its authors'}")
        for text in found:
            by_text.setdefault(text, []).append(name)
    print("pgdumpd contains these crates, under the licences that they name:\n")
    for package in packages:
        print(f"{package['name']} {package['version']}: {package['license']} ({package['repository'] or 'no repository'})")
    print("\nThe Rust standard library: MIT OR Apache-2.0 (https://github.com/rust-lang/rust)")
    if without:
        print("\nThese bring no text of their licence:\n")
        print("\n".join(without))
    for text, names in sorted(by_text.items(), key=lambda item: (item[1], item[0])):
        print(f"\n{RULE}\n{', '.join(names)}\n{RULE}\n\n{text}")


if __name__ == "__main__":
    main(sys.argv[1])
