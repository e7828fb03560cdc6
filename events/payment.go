package events

import "time"

// PaymentRequested is recorded when an order's money is requested. It is the first attempt to
// pay, at one provider.
type PaymentRequested struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
	Amount    Money     `json:"amount"`
	Provider  string    `json:"provider" minLength:"1"`
	// URL is where the customer pays. A path, beginning with "/", is relative to the
	// shop's own address. It is empty while the provider has yet to be asked for a page:
	// then payment.opened says where.
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// PaymentCaptured is recorded when the provider has the money, also when it comes too late.
type PaymentCaptured struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
	Amount    Money     `json:"amount"`
	// Unwanted is true when the order had been cancelled before, or when its money had
	// been captured before. The money is refunded.
	Unwanted bool `json:"unwanted,omitempty"`
	// Again is true when the order's money had been captured before, at the page of another
	// attempt.
	Again bool `json:"again,omitempty"`
	// Attempt is the attempt that took the money. It is missing if there was only one.
	Attempt int `json:"attempt,omitempty" minimum:"1"`
	// Capture is the provider's name for the money, by which it is given back.
	Capture string `json:"capture,omitempty"`
}

// PaymentOpened is recorded when a provider has a page at which an attempt is paid.
type PaymentOpened struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
	Attempt   int       `json:"attempt" minimum:"1"`
	// Reference is the provider's name for the page.
	Reference string `json:"reference" minLength:"1"`
	// URL is where the customer pays.
	URL string `json:"url" minLength:"1"`
}

// PaymentAttemptFailed is recorded when an attempt to pay has failed. Another one may follow
// until the payment's deadline.
type PaymentAttemptFailed struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
	Attempt   int       `json:"attempt" minimum:"1"`
	// Reason is declined when the provider does not get the money, expired when its page was
	// not used in time, and unavailable when the provider has no page.
	Reason string `json:"reason" enum:"declined,expired,unavailable"`
	Detail string `json:"detail,omitempty"`
}

// PaymentRetried is recorded when an order's money is requested once more, after an attempt that
// failed or instead of one.
type PaymentRetried struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
	Attempt   int       `json:"attempt" minimum:"2"`
	Provider  string    `json:"provider" minLength:"1"`
	// URL is where the customer pays, as in payment.requested.
	URL string `json:"url,omitempty"`
}

// PaymentPageClosed is recorded when the page of an attempt takes no money any more, because the
// payment is over or another attempt took its place.
type PaymentPageClosed struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
	Attempt   int       `json:"attempt" minimum:"1"`
}

// PaymentFlagged is recorded when a payment needs a person's attention: what a provider reports
// does not fit to what was requested, or it does not do what it was asked for.
type PaymentFlagged struct {
	PaymentID PaymentID `json:"payment_id"`
	// OrderID is missing when the report is about no payment of the shop.
	OrderID OrderID `json:"order_id,omitempty"`
	Attempt int     `json:"attempt,omitempty" minimum:"1"`
	// Reason is what is wrong, as a word.
	Reason string `json:"reason" enum:"unknown_payment,unknown_page,wrong_amount,not_payable,disputed,refund_failed,not_closed"`
	// Detail is what is wrong, as a sentence.
	Detail string `json:"detail"`
}

// What an attempt to pay failed of: the values of PaymentAttemptFailed.Reason.
const (
	AttemptDeclined    = "declined"
	AttemptExpired     = "expired"
	AttemptUnavailable = "unavailable"
)

// Why a payment needs attention: the values of PaymentFlagged.Reason.
const (
	FlaggedUnknownPayment = "unknown_payment"
	FlaggedUnknownPage    = "unknown_page"
	FlaggedAmount         = "wrong_amount"
	FlaggedNotPayable     = "not_payable"
	FlaggedDispute        = "disputed"
	FlaggedRefund         = "refund_failed"
	FlaggedNotClosed      = "not_closed"
)

// PaymentDeclined is recorded when the provider will not give the money.
type PaymentDeclined struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
}

// PaymentExpired is recorded when the customer did not pay in time.
type PaymentExpired struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
}

// PaymentVoided is recorded when an order is cancelled before its money has come. The money
// is no longer wanted.
type PaymentVoided struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
}

// PaymentRefunded is recorded when captured money was given back.
type PaymentRefunded struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
	Amount    Money     `json:"amount"`
	// RefundID is missing in events of earlier versions, which gave back all captured money.
	RefundID RefundID `json:"refund_id,omitempty"`
	// Partial is true when some of the captured money is not given back.
	Partial bool `json:"partial,omitempty"`
	// Again is true when the money is that of a capture that was Again, by the Attempt. The
	// order's own money is not concerned.
	Again   bool `json:"again,omitempty"`
	Attempt int  `json:"attempt,omitempty" minimum:"1"`
}

func (PaymentRequested) EventName() string  { return "payment.requested.v1" }
func (e PaymentRequested) EntityID() string { return string(e.PaymentID) }
func (e PaymentRequested) Order() OrderID   { return e.OrderID }
func (e PaymentRequested) Check() error {
	return FirstOf(checkPayment(e.PaymentID, e.OrderID), e.Amount.Check("amount"),
		Text("provider", e.Provider, 1, 50), Text("url", e.URL, 0, 2_000))
}

func (PaymentCaptured) EventName() string  { return "payment.captured.v1" }
func (e PaymentCaptured) EntityID() string { return string(e.PaymentID) }
func (e PaymentCaptured) Order() OrderID   { return e.OrderID }
func (e PaymentCaptured) Check() error {
	return FirstOf(checkPayment(e.PaymentID, e.OrderID), e.Amount.Check("amount"), checkAttempt(e.Attempt, 0), Text("capture", e.Capture, 0, 255))
}

func (PaymentOpened) EventName() string  { return "payment.opened.v1" }
func (e PaymentOpened) EntityID() string { return string(e.PaymentID) }
func (e PaymentOpened) Order() OrderID   { return e.OrderID }
func (e PaymentOpened) Check() error {
	return FirstOf(checkPayment(e.PaymentID, e.OrderID), checkAttempt(e.Attempt, 1), Text("reference", e.Reference, 1, 255), Text("url", e.URL, 1, 2_000))
}

func (PaymentAttemptFailed) EventName() string  { return "payment.attempt_failed.v1" }
func (e PaymentAttemptFailed) EntityID() string { return string(e.PaymentID) }
func (e PaymentAttemptFailed) Order() OrderID   { return e.OrderID }
func (e PaymentAttemptFailed) Check() error {
	return FirstOf(checkPayment(e.PaymentID, e.OrderID), checkAttempt(e.Attempt, 1),
		oneOf("reason", e.Reason, AttemptDeclined, AttemptExpired, AttemptUnavailable), Text("detail", e.Detail, 0, 500))
}

func (PaymentRetried) EventName() string  { return "payment.retried.v1" }
func (e PaymentRetried) EntityID() string { return string(e.PaymentID) }
func (e PaymentRetried) Order() OrderID   { return e.OrderID }
func (e PaymentRetried) Check() error {
	return FirstOf(checkPayment(e.PaymentID, e.OrderID), checkAttempt(e.Attempt, 2), Text("provider", e.Provider, 1, 50), Text("url", e.URL, 0, 2_000))
}

func (PaymentPageClosed) EventName() string  { return "payment.page_closed.v1" }
func (e PaymentPageClosed) EntityID() string { return string(e.PaymentID) }
func (e PaymentPageClosed) Order() OrderID   { return e.OrderID }
func (e PaymentPageClosed) Check() error {
	return FirstOf(checkPayment(e.PaymentID, e.OrderID), checkAttempt(e.Attempt, 1))
}

func (PaymentFlagged) EventName() string  { return "payment.flagged.v1" }
func (e PaymentFlagged) EntityID() string { return string(e.PaymentID) }

// Order is "" when the report is about no payment of the shop.
func (e PaymentFlagged) Order() OrderID { return e.OrderID }
func (e PaymentFlagged) Check() error {
	if e.OrderID != "" {
		if err := Token("order_id", e.OrderID); err != nil {
			return err
		}
	}
	return FirstOf(Token("payment_id", e.PaymentID), checkAttempt(e.Attempt, 0),
		oneOf("reason", e.Reason, FlaggedUnknownPayment, FlaggedUnknownPage, FlaggedAmount, FlaggedNotPayable, FlaggedDispute, FlaggedRefund, FlaggedNotClosed),
		Text("detail", e.Detail, 1, 500))
}

func (PaymentDeclined) EventName() string  { return "payment.declined.v1" }
func (e PaymentDeclined) EntityID() string { return string(e.PaymentID) }
func (e PaymentDeclined) Order() OrderID   { return e.OrderID }
func (e PaymentDeclined) Check() error     { return checkPayment(e.PaymentID, e.OrderID) }

func (PaymentExpired) EventName() string  { return "payment.expired.v1" }
func (e PaymentExpired) EntityID() string { return string(e.PaymentID) }
func (e PaymentExpired) Order() OrderID   { return e.OrderID }
func (e PaymentExpired) Check() error     { return checkPayment(e.PaymentID, e.OrderID) }

func (PaymentVoided) EventName() string  { return "payment.voided.v1" }
func (e PaymentVoided) EntityID() string { return string(e.PaymentID) }
func (e PaymentVoided) Order() OrderID   { return e.OrderID }
func (e PaymentVoided) Check() error     { return checkPayment(e.PaymentID, e.OrderID) }

func (PaymentRefunded) EventName() string  { return "payment.refunded.v1" }
func (e PaymentRefunded) EntityID() string { return string(e.PaymentID) }
func (e PaymentRefunded) Order() OrderID   { return e.OrderID }
func (e PaymentRefunded) Check() error {
	if e.RefundID != "" {
		return FirstOf(checkPayment(e.PaymentID, e.OrderID), checkRefund(e.RefundID, e.Amount))
	}
	return FirstOf(checkPayment(e.PaymentID, e.OrderID), e.Amount.Check("amount"), checkAttempt(e.Attempt, 0))
}

func checkPayment(id PaymentID, order OrderID) error {
	return FirstOf(Token("payment_id", id), Token("order_id", order))
}

// checkAttempt checks the number of an attempt; the fields of events that may lack it are at
// least 0.
func checkAttempt(n, least int) error {
	if n < least {
		return InvalidField("attempt", "must be at least %d", least)
	}
	return nil
}
