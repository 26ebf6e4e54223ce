"""The healer's memory on disk: what it heard, decided and did. Nothing is acknowledged that is not in here."""

from vllm_healer.journal.admission import Admission
from vllm_healer.journal.journal import Journal
from vllm_healer.journal.reader import JournalReader
from vllm_healer.journal.values import Entry, IncidentSummary, Recorded, StoredAlert, Unfinished

__all__ = ["Admission", "Entry", "IncidentSummary", "Journal", "JournalReader", "Recorded", "StoredAlert", "Unfinished"]
