"""GPUs, whoever made them: which library answers, the thread that waits for it, XIDs."""
