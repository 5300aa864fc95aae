"""A person in the loop: what stands between a search and somebody who walks in an exoskeleton."""
