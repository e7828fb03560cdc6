package events

import "time"

// PaymentRequested is recorded when a provider is asked for an order's money.
type PaymentRequested struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
	Amount    Money     `json:"amount"`
	Provider  string    `json:"provider" minLength:"1"`
	// URL is where the customer pays. A path, beginning with "/", is relative to the
	// shop's own address.
	URL       string    `json:"url" minLength:"1"`
	ExpiresAt time.Time `json:"expires_at"`
}

// PaymentCaptured is recorded when the provider has the money, also when it comes too late.
type PaymentCaptured struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
	Amount    Money     `json:"amount"`
	// Unwanted is true when the order had been cancelled before. The money is refunded.
	Unwanted bool `json:"unwanted,omitempty"`
}

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

// PaymentRefunded is recorded when all captured money was given back.
type PaymentRefunded struct {
	PaymentID PaymentID `json:"payment_id"`
	OrderID   OrderID   `json:"order_id"`
	Amount    Money     `json:"amount"`
}

func (PaymentRequested) EventName() string  { return "payment.requested.v1" }
func (e PaymentRequested) EntityID() string { return string(e.PaymentID) }
func (e PaymentRequested) Order() OrderID   { return e.OrderID }
func (e PaymentRequested) Check() error {
	return FirstOf(checkPayment(e.PaymentID, e.OrderID), e.Amount.Check("amount"),
		Text("provider", e.Provider, 1, 50), Text("url", e.URL, 1, 2_000))
}

func (PaymentCaptured) EventName() string  { return "payment.captured.v1" }
func (e PaymentCaptured) EntityID() string { return string(e.PaymentID) }
func (e PaymentCaptured) Order() OrderID   { return e.OrderID }
func (e PaymentCaptured) Check() error {
	return FirstOf(checkPayment(e.PaymentID, e.OrderID), e.Amount.Check("amount"))
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
	return FirstOf(checkPayment(e.PaymentID, e.OrderID), e.Amount.Check("amount"))
}

func checkPayment(id PaymentID, order OrderID) error {
	return FirstOf(Token("payment_id", id), Token("order_id", order))
}
