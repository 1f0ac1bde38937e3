"""The core: the one part of this program that decides. Everything else only proposes.

Claims: `python -I -m bootstrap.core TREE --arch A` runs the seed of a bootstrap on the materials of
a release and says of every product whether it is what it should be; whatever is imported here is
all that can make that verdict. That is the standard library, Unicorn, which executes the guest's
instructions, and these modules. Nothing else of this package is imported, so nothing else can be
wrong with a verdict.
Relies on: Python, Unicorn 2.1.4 and what they run on.
Test that would fail if it lied: tests/core/test_contract.py.

It is to be read in this order; each module imports only those before it:

 1. errors: what can go wrong, and how much a guest may use before its run ends;
 2. abi: Linux's error numbers and flags, as far as they are needed;
 3. arches: the five architectures, each one value, and how a CPU comes into user mode;
 4. memory: what a process has mapped, the rights of each page, brk(2), fork(2);
 5. cpu: one process image on one Unicorn CPU, its system calls and its faults;
 6. files: regular files, directories, open file descriptions, in memory alone;
 7. elf: the image and the stack of a program, as Linux makes them;
 8. paths: from a path to a file, open(2), unlink(2), and laying out a tree;
 9. process: descriptors, and what a process is;
10. syscalls: the 22 system calls that bootstraps make, and their table;
11. machine: takes turns: calls, fork, execve, exit and limits;
12. release: a tree, what a release says about it, and whether they agree;
13. verdict: runs the entry and decides;
14. __main__: the command line.

This file imports nothing, so that an error class does not load the engine.
"""
