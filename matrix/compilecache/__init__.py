"""Compiled code that travels: packed with its key, checked, found again on another machine.

What is true of Inductor's cache folder, from its source and from the feature tests:

- It never gives the code of one torch to another: its key has a hash of torch's sources. Another
  release misses, whoever shares the folder; nothing here changes that.
- Before torch 2.4 it holds absolute paths and fails where it was moved.
- Triton's kernels and the graphs do not care where torch lies. C++ kernels and precompiled headers
  do: with torch in another folder they are built again, though the graphs are found.
- C++ kernels are built with `-march=native`, which is in no key of torch's.

It holds pickles and machine code, so that whoever can write to a remote can run programs wherever
it is pulled. The hashes tell damage, not authors.
"""
