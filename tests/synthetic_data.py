"""The synthetic screens of the package, under the name by which the original's tests know them."""

from programde.screen.synthetic import make_sceptre_style_synth

__all__ = ["make_sceptre_style_synth"]
