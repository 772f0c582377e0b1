"""What a network can do beyond the test set: one kind of question a file, all answers as cells with intervals."""
