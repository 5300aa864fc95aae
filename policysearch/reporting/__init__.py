"""How results are shown: figures, tables, pages, and files that are written atomically."""
