"""Parts for other programs, each for one program that has to be installed beside ctdenoise."""
