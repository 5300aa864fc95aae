"""Digests of what a study runs: the user's code, the values that it holds, programs and files.

Results are kept with these digests, so that they are not mistaken for those of a plant that has been edited since.
"""

from policysearch.digests.run import Digests, of_command, of_files, of_module, of_object

__all__ = ["Digests", "of_command", "of_files", "of_module", "of_object"]
