"""A market of one symbol, written from the numbered rules of `matching/README.md` alone.

Its author had read neither the engine nor the naive book. Each function names the rules that it
implements. All of it is slow and obvious: orders are in one list, and every question (which order
is first, what crosses, which orders wait) is answered by sorting and reading all of them.
"""
