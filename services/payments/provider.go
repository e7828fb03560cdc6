package payments

import (
	"context"
	"time"

	"lonja/events"
)

// Provider takes money from customers and gives it back. The methods with a context ask somebody
// outside. Each call may be made several times: equal keys mean that it is the same one, and must
// have the effect of one. An error is tried again later unless it is a service.Permanent one; it is
// logged and recorded, so it must contain nothing secret.
type Provider interface {
	// Name is what events call the provider, so it must never change.
	Name() string
	// Link returns where a payment is made, if that is known without a question. Otherwise it is "",
	// and Open is called.
	Link(id events.PaymentID) string
	// Open asks for a page at which one attempt is paid.
	Open(ctx context.Context, key string, a Attempt) (Page, error)
	// Close sees to it that a page takes no money any more. It is nil if it has taken some already:
	// that is reported on its own.
	Close(ctx context.Context, key string, page string) error
	// Refund gives back a part of what was captured, or all.
	Refund(ctx context.Context, key string, r Refund) error
}

// Attempt is one attempt to pay for an order.
type Attempt struct {
	PaymentID events.PaymentID
	OrderID   events.OrderID
	Number    int // from 1 on
	Amount    events.Money
	ExpiresAt time.Time // when the shop no longer waits
}

// Page is where an attempt is paid.
type Page struct {
	Reference string // the provider's name for it
	URL       string
}

// Refund is money that goes back.
type Refund struct {
	PaymentID events.PaymentID
	OrderID   events.OrderID
	Capture   string // the provider's name for the money that it took, as it was reported; "" in the sandbox
	Amount    events.Money
}
