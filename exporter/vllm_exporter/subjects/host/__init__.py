"""The host: CPU, memory, disks, network, file systems, control groups."""
