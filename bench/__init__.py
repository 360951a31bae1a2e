"""Side-by-side measurements: `python -m bench --out FILE [--only NAME] [--quick]`."""
