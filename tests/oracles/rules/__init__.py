"""A market of one symbol, written from the numbered rules of `matching/README.md` alone.

Whoever wrote this had not read the engine, nor the naive book beside it. Each function names the
rules that it carries out. All of it is slow and obvious: orders are in one list, and every question
(who is first, what crosses, what is waiting) is answered by sorting and looking at all of them.
"""
