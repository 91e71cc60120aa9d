"""The kinds of places weights come from, a module each: `KIND` in it is a `SourceKind`, found by the module's name."""
