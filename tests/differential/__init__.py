"""The Lua of the store against its Python twin."""
