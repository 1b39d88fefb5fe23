"""``pyinitctl check``: the production checklist, held against what an image and its deployment are made of."""
