"""What the limiter keeps outside itself: buckets in Redis (or memory), rules in files."""
