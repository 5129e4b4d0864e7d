"""All that knows MLflow: what a sweep writes there, and the best configurations it keeps."""
