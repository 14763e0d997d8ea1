"""Options that commands share: names of runs, numbers, output files, standard input."""
