"""All that knows Ray: where a sweep runs, and what one trial gets and does there."""
