"""Bargaining as people do it: what a cut dialogue says of its end, policies, self-play and audits."""
