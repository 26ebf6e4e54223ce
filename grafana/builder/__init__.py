"""From boards to the JSON that Grafana 10.4 to 13 reads; 9.4 shows it too, without colours in tables.

Pure functions: only files.py and limits.py touch the disk.
"""
