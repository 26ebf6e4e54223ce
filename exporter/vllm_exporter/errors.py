"""The errors of the exporter.

ExporterError
├── ConfigError    the configuration cannot be used; the message names file, line, key and fix
├── ListenError    an address cannot be listened on; the message says why and what to do
├── PluginError    two collectors claim one name, or a module defines none
├── NoData         there is nothing to report (a file, a process or a server is not there); not a fault
└── SourceError    something that should have answered did not, or answered nonsense
"""


class ExporterError(Exception):
    """Base of all errors of the exporter."""


class ConfigError(ExporterError):
    """The configuration cannot be used."""


class ListenError(ExporterError):
    """An address cannot be listened on."""


class PluginError(ExporterError):
    """The set of collectors cannot be used."""


class NoData(ExporterError):
    """There is nothing to report; the collector is healthy."""


class SourceError(ExporterError):
    """Something that should have answered did not, or answered nonsense."""
