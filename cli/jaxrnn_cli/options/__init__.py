"""Options that commands share: what names and numbers mean, where output goes, standard input."""
