"""TensorBoard on a view of the runs: readable names, settings that differ, and mean curves over seeds."""
