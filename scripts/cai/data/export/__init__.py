"""The run's datasets in the forms that other trainers load, with a dataset card."""
