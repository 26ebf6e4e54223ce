"""The loop's only part with side effects: takes journalled alerts through the pipeline, an incident at a time."""
