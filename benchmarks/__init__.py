"""What is measured: speed, memory, and the effects that methods promise. Each command stores its result.

``python -m benchmarks NAME`` runs one, prints a table and writes ``benchmarks/results/NAME.json``.
"""
