"""Words, integers, ids, codes and refusals that every app speaks. Pure.

Enters: text and decimals at the edges. Leaves: integers, ids, `DomainError` with a stable code.
Transaction: none. Only the id generator reads a clock; nothing here does input or output.
Invariants: conversion is exact or refused; codes are never renamed and never reused.
Healed by: nobody. The package keeps no state.
"""
