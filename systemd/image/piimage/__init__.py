"""The recipe of Joulepath's Raspberry Pi image, one step a file; build.py runs them in order."""
