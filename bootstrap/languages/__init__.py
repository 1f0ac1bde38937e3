"""Pure models of the bootstrap's languages: source bytes to output bytes and a source map.

They are the oracle that the emulated tools are held against, so this room imports neither engine
nor kernel nor vfs.
"""

from bootstrap.languages.assembly import Assembly, Oddity, Origin, Position
from bootstrap.languages.fault import Kind, LanguageError
from bootstrap.languages.source import SourceText

__all__ = ["Assembly", "Kind", "LanguageError", "Oddity", "Origin", "Position", "SourceText"]
