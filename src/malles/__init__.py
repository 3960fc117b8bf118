"""malles: an economic sandbox that learns from transactions how people and firms buy.

Start with `malles.pipeline`, which reads top to bottom like the road itself.
"""

__version__ = "0.1.0"
