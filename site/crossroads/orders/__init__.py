"""Orders: seats, refunds, disputes, enrollments."""
