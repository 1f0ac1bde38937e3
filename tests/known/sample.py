"""A small step file in which everything is right."""

A = "a" * 64
B = "b" * 64
GOOD = f"""\
schema = 1
name = "stage0-posix"
release = "1.0"
arch = "x86"
directories = ["x86/bin"]
answers_from = "x86.answers"
native_from = "a run"

[source]
commit = "{"c" * 40}"
urls = ["https://example.org/a.tar.gz"]
sha256 = "{A}"

[source.submodules]
x86 = "{"d" * 40}"

[seeds.hex0-seed]
path = "seed/hex0-seed"
size = 3
sha256 = "{A}"

[entries.hex0-seed]
commands = [["./seed/hex0-seed", "x", "y"]]
hidden = ["seed/other"]

[answers]
"x86/bin/M1" = "{A}"
"x86/bin/catm" = "{A}"

[native]
"x86/bin/M1" = "{B}"
"x86/artifact/hex0" = "{B}"

[materials]
"seed/hex0-seed" = "{A}"
x = "{B}"
"""
