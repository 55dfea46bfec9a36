"""Words, integers, ids, codes and refusals that every app speaks. Pure.

Enters: text and decimals at the edges. Leaves: integers, ids, `DomainError` with a stable code.
Transaction: none. Nothing here reads a clock but the id generator, or asks anyone.
Invariants: conversion is exact or refused; codes are never renamed and never reused.
Healed by: nobody. It keeps no state.
"""
