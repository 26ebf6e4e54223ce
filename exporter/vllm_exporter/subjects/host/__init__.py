"""Reads the host: CPU, memory, disks, network, file systems, control groups."""
