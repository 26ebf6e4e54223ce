"""What benchmarks/simulator.py measures with."""
