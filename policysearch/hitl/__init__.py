"""Human-in-the-loop optimization: sessions of a person who walks with an exoskeleton."""
