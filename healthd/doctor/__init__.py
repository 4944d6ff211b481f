"""`healthd doctor`: what makes a director fail in silence, what it means, and what to do.

`gather` reads the machine once and gives `facts`; the modules named after what they look at judge them, and nothing
else: they are pure, so each finding is tested from values. Nothing on the machine is changed, and nobody is signalled.
"""
