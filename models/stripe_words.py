"""Stripe's words for refunds and disputes, and ours beside them, with what staff read.

These sets are open: Stripe may add a word at any time, so columns keep plain strings.
`labels.label_of` reads a word that is not here.
"""

from typing import assert_never

from models.labels import Labeled


class RefundStatus(Labeled):
    """How far a refund is, from the first to the last status; one may fail after it succeeded.

    ASKED, REFUSED, DISMISSED and ELSEWHERE are ours, the others Stripe's.
    https://docs.stripe.com/refunds#failed-refunds
    """

    ASKED = "asked", "asked for at Stripe"  # by us; the answer is not known
    REFUSED = "refused", "refused by Stripe"
    PENDING = "pending", "on its way"
    REQUIRES_ACTION = "requires_action", "waiting for the buyer to name an account"
    SUCCEEDED = "succeeded", "done"
    CANCELED = "canceled", "canceled"
    FAILED = "failed", "failed"
    DISMISSED = "dismissed", "dismissed, nothing more to return"  # it failed, or was not due
    ELSEWHERE = "elsewhere", "returned without Stripe"  # it failed before

    @property
    def returned(self) -> bool:
        """Tell whether the money is with the buyer or on its way there."""
        match self:
            case RefundStatus.PENDING | RefundStatus.REQUIRES_ACTION:
                return True
            case RefundStatus.SUCCEEDED | RefundStatus.ELSEWHERE:
                return True
            case RefundStatus.ASKED | RefundStatus.REFUSED | RefundStatus.CANCELED:
                return False
            case RefundStatus.FAILED | RefundStatus.DISMISSED:
                return False
        assert_never(self)

    @property
    def failed(self) -> bool:
        """Tell whether the money has stayed, or has come back, and staff are to act."""
        match self:
            case RefundStatus.REFUSED | RefundStatus.CANCELED | RefundStatus.FAILED:
                return True
            case RefundStatus.ASKED | RefundStatus.PENDING | RefundStatus.REQUIRES_ACTION:
                return False
            case RefundStatus.SUCCEEDED | RefundStatus.DISMISSED | RefundStatus.ELSEWHERE:
                return False
        assert_never(self)

    @property
    def settled(self) -> bool:
        """Tell whether Stripe need not be asked about it any more."""
        match self:
            case RefundStatus.ASKED | RefundStatus.PENDING | RefundStatus.REQUIRES_ACTION:
                return False
            case RefundStatus.REFUSED | RefundStatus.SUCCEEDED | RefundStatus.CANCELED:
                return True
            case RefundStatus.FAILED | RefundStatus.DISMISSED:
                return True
            case RefundStatus.ELSEWHERE:
                return False
        assert_never(self)


class DisputeStatus(Labeled):
    """How far a dispute is, from the first to the last status.

    A lost one may be appealed: it counts as lost unless it is won.
    https://docs.stripe.com/api/disputes/object#dispute_object-status
    """

    WARNING_NEEDS_RESPONSE = "warning_needs_response", "the bank asks, no money was taken"
    WARNING_UNDER_REVIEW = (
        "warning_under_review",
        "the bank reviews our answer, no money was taken",
    )
    PREVENTED = "prevented", "prevented"
    WARNING_CLOSED = "warning_closed", "question closed"
    NEEDS_RESPONSE = "needs_response", "evidence is wanted"
    UNDER_REVIEW = "under_review", "the bank reviews our evidence"
    APPEAL_NEEDS_RESPONSE = "appeal_needs_response", "evidence for the appeal is wanted"
    APPEAL_UNDER_REVIEW = "appeal_under_review", "the appeal is under review"
    LOST = "lost", "lost"
    WON = "won", "won"

    @property
    def settled(self) -> bool:
        """Tell whether it is decided."""
        match self:
            case DisputeStatus.PREVENTED | DisputeStatus.WARNING_CLOSED:
                return True
            case DisputeStatus.LOST | DisputeStatus.WON:
                return True
            case DisputeStatus.WARNING_NEEDS_RESPONSE | DisputeStatus.WARNING_UNDER_REVIEW:
                return False
            case DisputeStatus.NEEDS_RESPONSE | DisputeStatus.UNDER_REVIEW:
                return False
            case DisputeStatus.APPEAL_NEEDS_RESPONSE | DisputeStatus.APPEAL_UNDER_REVIEW:
                return False
        assert_never(self)


class DisputeReason(Labeled):
    """Why a bank disputes a payment.

    https://docs.stripe.com/api/disputes/object#dispute_object-reason
    """

    BANK_CANNOT_PROCESS = "bank_cannot_process", "the bank cannot process it"
    CREDIT_NOT_PROCESSED = "credit_not_processed", "a promised refund did not arrive"
    CUSTOMER_INITIATED = "customer_initiated", "the buyer asked the bank"
    DEBIT_NOT_AUTHORIZED = "debit_not_authorized", "the debit was not authorized"
    DUPLICATE = "duplicate", "charged twice"
    FRAUDULENT = "fraudulent", "the cardholder says it was not them"
    INCORRECT_ACCOUNT_DETAILS = "incorrect_account_details", "wrong account details"
    INSUFFICIENT_FUNDS = "insufficient_funds", "the buyer's account was empty"
    PRODUCT_NOT_RECEIVED = "product_not_received", "the course was not received"
    PRODUCT_UNACCEPTABLE = "product_unacceptable", "the course was not as promised"
    SUBSCRIPTION_CANCELED = "subscription_canceled", "canceled before"
    UNRECOGNIZED = "unrecognized", "the cardholder does not recognize it"


class RefundFailure(Labeled):
    """Why a refund failed: Stripe's failure reasons and error codes, and one of ours.

    https://docs.stripe.com/api/refunds/object#refund_object-failure_reason
    """

    LOST_OR_STOLEN_CARD = "lost_or_stolen_card", "the card was lost or stolen"
    EXPIRED_OR_CANCELED_CARD = "expired_or_canceled_card", "the card has expired or was canceled"
    CHARGE_FOR_PENDING_REFUND_DISPUTED = (
        "charge_for_pending_refund_disputed",
        "the buyer disputed the payment meanwhile",
    )
    INSUFFICIENT_FUNDS = "insufficient_funds", "your balance at Stripe was too low"
    DECLINED = "declined", "the bank declined it"
    MERCHANT_REQUEST = "merchant_request", "it was canceled on your request"
    UNKNOWN = "unknown", "the bank gave no reason"
    CHARGE_ALREADY_REFUNDED = "charge_already_refunded", "all of it had been returned already"
    CHARGE_DISPUTED = "charge_disputed", "the payment is disputed"
    NOT_IN_THIS_ACCOUNT = (
        "not-in-this-account",
        "it is not in the Stripe account of this key",
    )
