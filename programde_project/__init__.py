"""The command `programde`, and the projects that it lays out: conf/, pipeline/ and dvc.yaml.

The library `programde` knows nothing of it. What a project is made of comes with this package as
`template/`; in the checkout it is the checkout itself.
"""
