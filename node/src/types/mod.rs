//! The words of maille as types: parsed once, never invalid afterwards. Nothing here does I/O.
