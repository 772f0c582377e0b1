"""What a data set is like, by numbers and by pictures."""
