"""Pages: the payment page for buyers, the control page for developers."""
