"""Saved policies that act by themselves, and results in the languages of other programs.

    files        files of saved vectors, and one vector by its name
    forms        the form in which a file describes a policy, so that nothing of its environment is needed
    policy       `policysearch.load(…).act(obs)`
    controllers  controllers, whose laws are compiled
    export       JSON, a C header, MATLAB

`files`, `policy` and the texts of `export` need NumPy and the standard library only.
"""
