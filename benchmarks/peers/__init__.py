"""What users would otherwise run, each as its documentation shows it; every file is a program."""
