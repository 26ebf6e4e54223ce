"""HTTP as the healer asks it: one deadline for a whole request, a limit on the answer's size, no redirects."""
