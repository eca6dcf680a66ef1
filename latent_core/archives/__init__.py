"""Archives: many folders of small files, packed into three files and read where they lie.

A packed folder keeps its path. `assets/adapters/tiny` is an archive, so
`assets/adapters/tiny/lookup/Start_2/seed-0` names a folder in it, as if the folder were there.
`folders` reads a folder in either form. This package lies below `adapters` and `runs`, which both
read through it; it knows files, tensors and tables, and nothing of adapters, runs or models.
"""
