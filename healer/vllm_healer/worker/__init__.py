"""The worker: takes journalled alerts through the pipeline, an incident at a time, and acts."""
