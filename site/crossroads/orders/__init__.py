"""What was bought: orders, seats, refunds, disputes, enrollments."""
